"""gIoU and cIoU of referring segmentation.

Both modes are computed from the same counts of pixels: `compat` sums in float32 as the release does, `fixed` in
float64 and divides by the exact number of masks.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, UInt8

_SMOOTHING = 1e-5  # added to every union and, in compat, to the number of masks
_CUMULATIVE_SMOOTHING = 1e-10


@dataclass(frozen=True, slots=True)
class PairCounts:
    """Pixels of a predicted mask and its target.

    Args:
        intersection: In both.
        union: In either.
    """

    intersection: int
    union: int


@dataclass(frozen=True, slots=True)
class ReferringImage:
    """What one image adds to the score.

    Args:
        pairs: k-th prediction against k-th target, as far as both exist.
        num_targets: Masks that were asked for; more than `pairs` where predictions are missing.
    """

    pairs: tuple[PairCounts, ...]
    num_targets: int


@dataclass(frozen=True, slots=True)
class ReferringScores:
    """Both numbers, 0 to 1.

    Args:
        giou: Mean over masks of the intersection over union.
        ciou: Sum of the intersections over the sum of the unions.
    """

    giou: float
    ciou: float


def compare_masks(
    predicted: Bool[np.ndarray, "height width"], target: UInt8[np.ndarray, "height width"]
) -> PairCounts:
    """Count the pixels of one pair.

    Args:
        predicted: Logits strictly above 0.
        target: 1 is the object; 255 is left out; any other value but 0 belongs to no class.

    Upstream: readers add overlapping parts, so a target pixel may be 2. It is then neither foreground nor background:
        it enlarges the union only where the prediction covers it. Kept.
    Source: `intersectionAndUnionGPU` with two classes.
    """
    counted = target != 255
    foreground = (target == 1) & counted
    hit = predicted & counted
    intersection = int(np.count_nonzero(hit & foreground))
    union = int(np.count_nonzero(hit)) + int(np.count_nonzero(foreground)) - intersection
    return PairCounts(intersection, union)


def compare_image(
    predicted: Sequence[Bool[np.ndarray, "height width"]],
    targets: Sequence[UInt8[np.ndarray, "height width"]],
) -> ReferringImage:
    """Count the pixels of all pairs of an image.

    Upstream: pairs are formed in order up to the shorter list. A surplus prediction is ignored, a missing one lowers
        gIoU and not cIoU. Kept in both modes; callers report the difference in numbers.
    """
    pairs = tuple(compare_masks(one, other) for one, other in zip(predicted, targets, strict=False))
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
        of_image = np.float32(0)
        for pair in image.pairs:
            of_image += np.float32(_smoothed_iou(pair))
        total += of_image / np.float32(image.num_targets) * np.float32(image.num_targets)
        num_targets += image.num_targets
        intersections += np.float32(sum(pair.intersection for pair in image.pairs))
        unions += np.float32(sum(pair.union for pair in image.pairs))
    giou = float(total) / (num_targets + _SMOOTHING)
    return ReferringScores(giou, float(intersections / (unions + _CUMULATIVE_SMOOTHING)))


def score_fixed(images: Iterable[ReferringImage]) -> ReferringScores:
    """The same formulas in float64, divided by the exact number of masks; no mask at all gives 0."""
    seen = tuple(images)
    pairs = [pair for image in seen for pair in image.pairs]
    num_targets = sum(image.num_targets for image in seen)
    union = sum(pair.union for pair in pairs)
    return ReferringScores(
        giou=sum(map(_smoothed_iou, pairs)) / num_targets if num_targets else 0.0,
        ciou=sum(pair.intersection for pair in pairs) / union if union else 0.0,
    )


def _smoothed_iou(pair: PairCounts) -> float:
    """Intersection over union plus 1e-5; 1 for two empty masks."""
    return pair.intersection / (pair.union + _SMOOTHING) if pair.union else 1.0
