"""gIoU and cIoU of referring and semantic segmentation.

Both modes use the same pixel counts. `compat` sums in float32, as the release does. `fixed` sums in float64 and
divides by the exact number of masks.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, UInt8

from glamm.structures.report import ReferringScores

_SMOOTHING = 1e-5  # added to every union and, in compat, to the number of masks
_CUMULATIVE_SMOOTHING = 1e-10


@dataclass(frozen=True, slots=True)
class PairCounts:
    """Pixels of a predicted mask and its target.

    Args:
        intersection: Pixels that are in both masks.
        union: Pixels that are in at least one of them.
    """

    intersection: int
    union: int


@dataclass(frozen=True, slots=True)
class ReferringImage:
    """The pixel counts of one image.

    Args:
        pairs: Prediction k and target k, as far as both exist.
        num_targets: Number of expressions; larger than the number of pairs where predictions are missing.
    """

    pairs: tuple[PairCounts, ...]
    num_targets: int


def compare_masks(
    predicted: Bool[np.ndarray, "height width"], target: UInt8[np.ndarray, "height width"]
) -> PairCounts:
    """Count the pixels of one pair.

    Args:
        predicted: Logits strictly above 0.
        target: 1 is the object, 0 the background; pixels of 255 are ignored; any other value belongs to no class.

    Upstream: readers add the masks of overlapping object parts, so a target pixel may be 2. It is then neither
        foreground nor background, and counts for the union only where the prediction covers it. Kept.
    Source: `intersectionAndUnionGPU` with two classes.
    """
    counted = target != 255
    foreground = (target == 1) & counted
    covered = predicted & counted
    intersection = int(np.count_nonzero(covered & foreground))
    union = int(np.count_nonzero(covered)) + int(np.count_nonzero(foreground)) - intersection
    return PairCounts(intersection, union)


def compare_image(
    predicted: Sequence[Bool[np.ndarray, "height width"]],
    targets: Sequence[UInt8[np.ndarray, "height width"]],
) -> ReferringImage:
    """Count the pixels of all pairs of an image.

    Upstream: pairs are formed in order up to the shorter list. A surplus prediction is ignored, a missing one lowers
        gIoU and not cIoU. Kept in both modes; callers report that the numbers differ.
    """
    pairs = tuple(compare_masks(*masks) for masks in zip(predicted, targets, strict=False))
    return ReferringImage(pairs, len(targets))


def score_compat(images: Iterable[ReferringImage]) -> ReferringScores:
    """The release's numbers, summed in float32 in its order: masks of an image, then images.

    Upstream: `accuracy_iou += I / (U + 1e-5)`, plus 1 where U is 0; divided by the number of masks plus 1e-5.
    Source: `eval/referring_seg/infer_and_evaluate.py`.
    """
    total = np.float32(0)
    num_targets = 0
    intersections, unions = np.float32(0), np.float32(0)
    for image in images:
        if image.num_targets == 0:
            continue
        image_total = np.float32(0)
        for pair in image.pairs:
            image_total += np.float32(_smoothed_iou(pair))
        total += image_total / np.float32(image.num_targets) * np.float32(image.num_targets)
        num_targets += image.num_targets
        intersections += np.float32(sum(pair.intersection for pair in image.pairs))
        unions += np.float32(sum(pair.union for pair in image.pairs))
    giou = float(total) / (num_targets + _SMOOTHING)
    return ReferringScores(giou=giou, ciou=float(intersections / (unions + _CUMULATIVE_SMOOTHING)))


def score_fixed(images: Iterable[ReferringImage]) -> ReferringScores:
    """The same formulas in float64, divided by the exact number of masks; without any mask both are 0."""
    images = tuple(images)
    pairs = [pair for image in images for pair in image.pairs]
    num_targets = sum(image.num_targets for image in images)
    union = sum(pair.union for pair in pairs)
    return ReferringScores(
        giou=sum(map(_smoothed_iou, pairs)) / num_targets if num_targets else 0.0,
        ciou=sum(pair.intersection for pair in pairs) / union if union else 0.0,
    )


def score_classes(pairs: Iterable[tuple[str, PairCounts]]) -> dict[str, float]:
    """IoU of each class: the sum of its intersections divided by the sum of its unions, over all images.

    Args:
        pairs: Name of a class and the pixels of its mask in an image.

    Returns:
        By name, in alphabetical order; without classes that are neither annotated nor predicted anywhere.
    """
    totals: dict[str, tuple[int, int]] = {}
    for name, pair in pairs:
        intersection, union = totals.get(name, (0, 0))
        totals[name] = intersection + pair.intersection, union + pair.union
    return {
        name: intersection / union
        for name, (intersection, union) in sorted(totals.items())
        if union
    }


def _smoothed_iou(pair: PairCounts) -> float:
    """Intersection divided by the union plus 1e-5; 1 for two empty masks."""
    return pair.intersection / (pair.union + _SMOOTHING) if pair.union else 1.0
