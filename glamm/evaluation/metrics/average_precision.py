"""COCO average precision of masks, as the release computes it, and without its dependence on order."""

import contextlib
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from jaxtyping import Bool, Float64
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from scipy.optimize import linear_sum_assignment

from glamm.geometry.masks import area
from glamm.structures.gcg import ImagePair
from glamm.structures.sample import Mask

COCO_NAMES = (
    *("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large"),
    *("AR_1", "AR_10", "AR_100", "AR_small", "AR_medium", "AR_large"),
)
_CATEGORY = 1


@dataclass(frozen=True, slots=True)
class DetectionCounts:
    """Detections at an IoU of 0.5, over all images.

    Args:
        hits: Pairs of a predicted and an annotated mask; each mask is in at most one pair.
        num_predicted: Predicted masks, paired or not.
        num_annotated: Annotated masks, paired or not.
    """

    hits: int
    num_predicted: int
    num_annotated: int

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 0 where nothing was predicted and nothing annotated."""
        total = self.num_predicted + self.num_annotated
        return 2 * self.hits / total if total else 0.0

    @property
    def precision(self) -> float:
        """Share of predicted masks that are hits."""
        return self.hits / self.num_predicted if self.num_predicted else 0.0

    @property
    def recall(self) -> float:
        """Share of annotated masks that are hits."""
        return self.hits / self.num_annotated if self.num_annotated else 0.0


def coco_stats_compat(pairs: Sequence[ImagePair]) -> dict[str, float]:
    """The twelve COCO numbers with every confidence at 1.0, as the release stores it.

    Upstream: with all confidences equal the curve depends on the order of detections: by image id (text as text,
        numbers as numbers), then in file order. Size classes use the `area` field; only the first 100 masks of an
        image count; the match of an annotation with id 0 counts as a miss. All kept. The release raises an exception
        when the whole set has no mask; here all numbers are 0.
    Source: `COCOeval(segm)` with default parameters and category 1; `eval/gcg/evaluate.py`.
    """
    annotations = [
        _annotation(pair, truth.id, truth.mask, area=truth.area)
        | {"category_id": truth.category, "iscrowd": int(truth.is_crowd)}
        for pair in pairs
        for truth in pair.truth.masks
        for _ in range(truth.occurrences)
    ]
    detections = [
        _annotation(pair, 0, mask, area=float(area(mask))) | {"score": 1.0}
        for pair in pairs
        for mask in pair.prediction.masks
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = _evaluate(pairs, annotations, detections)
        evaluation.accumulate()
        evaluation.summarize()
    return dict(zip(COCO_NAMES, (float(value) for value in evaluation.stats), strict=True))


def coco_stats_fixed(pairs: Sequence[ImagePair]) -> dict[str, float]:
    """The twelve COCO numbers with the model's confidences, independent of the order of images and masks.

    Confidences are used if every prediction with masks has them. Detections of the same confidence are one point of
    the curve; without confidences the curve has a single point, the precision at full recall. Within an image,
    detections of the same confidence are ordered by their run-length codes. Areas are computed from the masks, and
    annotations get new ids.
    """
    has_scores = has_confidences(pairs)
    annotations = [
        _annotation(pair, 0, truth.mask, area=float(area(truth.mask)))
        | {"category_id": truth.category, "iscrowd": int(truth.is_crowd)}
        for pair in pairs
        for truth in sorted(pair.truth.masks, key=lambda truth: truth.mask.counts)
    ]
    for number, annotation in enumerate(annotations, start=1):
        annotation["id"] = number
    detections = [
        _annotation(pair, 0, mask, area=float(area(mask))) | {"score": score}
        for pair in pairs
        for mask, score in sorted(
            zip(pair.prediction.masks, _scores(pair, has_scores=has_scores), strict=True),
            key=lambda item: (-item[1], item[0].counts),
        )
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = _evaluate(pairs, annotations, detections)
    return _summarize(evaluation)


def has_confidences(pairs: Iterable[ImagePair]) -> bool:
    """Whether every prediction with masks has confidences, and there is one."""
    with_masks = [pair.prediction for pair in pairs if pair.prediction.masks]
    return bool(with_masks) and all(prediction.scores is not None for prediction in with_masks)


def count_detections(
    ious: Iterable[Float64[np.ndarray, "_ _"]],
) -> DetectionCounts:
    """Count the most pairs with an IoU of 0.5 or more in each image; two empty masks have an IoU of 1.

    Args:
        ious: IoU matrix (predictions x truths) of each image, as `mask_iou.overlaps` computes it.
    """
    hits = predicted = annotated = 0
    for iou in ious:
        is_close = np.nan_to_num(iou, nan=1.0) >= 0.5
        rows, columns = linear_sum_assignment(is_close, maximize=True)
        hits += int(is_close[rows, columns].sum())
        predicted += iou.shape[0]
        annotated += iou.shape[1]
    return DetectionCounts(hits, predicted, annotated)


def _scores(pair: ImagePair, *, has_scores: bool) -> Sequence[float]:
    scores = pair.prediction.scores
    return scores if has_scores and scores is not None else [1.0] * len(pair.prediction.masks)


def _annotation(pair: ImagePair, number: int, mask: Mask, *, area: float) -> dict[str, Any]:
    code = {"size": list(mask.size), "counts": mask.counts}
    return {
        "id": number,
        "image_id": pair.truth.id,
        "category_id": _CATEGORY,
        "segmentation": code,
        "area": area,
        "bbox": list(coco_mask.toBbox(cast("Any", code))),
        "iscrowd": 0,
    }


def _evaluate(
    pairs: Sequence[ImagePair], annotations: list[dict[str, Any]], detections: list[dict[str, Any]]
) -> COCOeval:
    # pycocotools requires the sizes, but uses them for polygons only
    images = [{"id": pair.truth.id, "height": 0, "width": 0} for pair in pairs]
    for number, detection in enumerate(detections, start=1):
        detection["id"] = number
    evaluation = COCOeval(_index(images, annotations), _index(images, detections), "segm")
    evaluation.params.catIds = [_CATEGORY]
    evaluation.evaluate()
    return evaluation


def _index(images: list[dict[str, Any]], annotations: list[dict[str, Any]]) -> COCO:
    tree = COCO()
    tree.dataset = cast(
        "Any", {"images": images, "annotations": annotations, "categories": [{"id": _CATEGORY}]}
    )
    tree.createIndex()
    return tree


def _summarize(evaluation: COCOeval) -> dict[str, float]:
    limits = [int(limit) for limit in evaluation.params.maxDets]
    everything = _measure(evaluation, 0, limits[2])
    by_size = [_measure(evaluation, size, limits[2]) for size in (1, 2, 3)]
    few = [_measure(evaluation, 0, limit) for limit in limits[:2]]
    thresholds = np.asarray(evaluation.params.iouThrs)
    at = [int(np.flatnonzero(np.isclose(thresholds, value))[0]) for value in (0.5, 0.75)]
    values = [
        _mean(everything.precision),
        *(_mean(everything.precision[[index]]) for index in at),
        *(_mean(measured.precision) for measured in by_size),
        *(_mean(measured.recall) for measured in (*few, everything)),
        *(_mean(measured.recall) for measured in by_size),
    ]
    return dict(zip(COCO_NAMES, values, strict=True))


@dataclass(frozen=True, slots=True)
class _Measured:
    """Average precision and final recall at each IoU threshold; -1 where nothing is annotated."""

    precision: Float64[np.ndarray, " thresholds"]
    recall: Float64[np.ndarray, " thresholds"]


def _mean(values: Float64[np.ndarray, " thresholds"]) -> float:
    return float(values.mean()) if values.size and values[0] >= 0 else -1.0


def _measure(evaluation: COCOeval, size_class: int, limit: int) -> _Measured:
    """Measure all images of a size class; -1 for a class without annotated masks, as in COCO."""
    num_images = len(evaluation.params.imgIds)
    first = size_class * num_images
    images = [image for image in evaluation.evalImgs[first : first + num_images] if image]
    num_thresholds = len(evaluation.params.iouThrs)
    num_annotated = sum(int(np.count_nonzero(np.equal(image["gtIgnore"], 0))) for image in images)
    if not num_annotated:
        nothing = np.full(num_thresholds, -1.0)
        return _Measured(nothing, nothing)
    scores = np.concatenate([np.asarray(image["dtScores"][:limit], float) for image in images])
    matched = np.concatenate([image["dtMatches"][:, :limit] for image in images], axis=1) > 0
    ignored = np.concatenate([image["dtIgnore"][:, :limit] for image in images], axis=1) > 0
    order = np.argsort(-scores, kind="stable")
    ends = _group_ends(scores[order])
    hits = np.cumsum((matched & ~ignored)[:, order], axis=1)[:, ends]
    misses = np.cumsum((~matched & ~ignored)[:, order], axis=1)[:, ends]
    recalls = np.asarray(evaluation.params.recThrs)
    precision = [
        _interpolated(hit, miss, num_annotated, recalls)
        for hit, miss in zip(hits, misses, strict=True)
    ]
    recall = hits[:, -1] / num_annotated if ends.size else np.zeros(num_thresholds)
    return _Measured(np.asarray(precision), recall)


def _group_ends(scores: Float64[np.ndarray, " detections"]) -> np.ndarray:
    """Index of the last detection of each group of equal confidences."""
    is_last: Bool[np.ndarray, " detections"] = np.ones(len(scores), dtype=bool)
    is_last[:-1] = scores[1:] != scores[:-1]
    return np.flatnonzero(is_last)


def _interpolated(
    hits: np.ndarray,
    misses: np.ndarray,
    num_annotated: int,
    recalls: Float64[np.ndarray, " points"],
) -> float:
    """Mean over COCO's 101 recall points of the best precision at that recall or a higher one."""
    recall = hits / num_annotated
    precision = hits / np.maximum(hits + misses, 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    indices = np.searchsorted(recall, recalls, side="left")
    is_reached = indices < len(recall)
    return float(best[indices[is_reached]].sum() / len(recalls))
