"""IoU of predicted and annotated masks, and mIoU in both modes.

Axis names: `predictions` and `truths` are the masks of one image.
"""

from collections.abc import Iterable, Sequence
from typing import Any, cast

import numpy as np
from jaxtyping import Float64
from pycocotools import mask as coco
from scipy.optimize import linear_sum_assignment

from glamm.geometry.masks import area
from glamm.structures.sample import Mask


def overlaps(
    predictions: Sequence[Mask], truths: Sequence[Mask]
) -> Float64[np.ndarray, "predictions truths"]:
    """Intersection over union (IoU) of every pair, from run lengths; equal to the last bit to IoU from pixels.

    Returns:
        0 to 1. NaN for two empty masks; 0 for masks of different sizes.
    """
    if not predictions or not truths:
        return np.zeros((len(predictions), len(truths)))
    ours, theirs = _codes(predictions), _codes(truths)
    values = np.asarray(coco.iou(ours, theirs, [0] * len(truths)), dtype=np.float64)
    values[values < 0] = 0.0  # pycocotools returns -1 for masks of different sizes
    for row in _empty(predictions):
        for column in _empty(truths):
            if predictions[row].size == truths[column].size:
                values[row, column] = np.nan
    return values


def _empty(masks: Sequence[Mask]) -> list[int]:
    return [index for index, mask in enumerate(masks) if area(mask) == 0]


def _codes(masks: Sequence[Mask]) -> list[Any]:
    return cast("list[Any]", [{"size": list(mask.size), "counts": mask.counts} for mask in masks])


def image_miou_compat(iou: Float64[np.ndarray, "predictions truths"]) -> float:
    """Mean IoU of pairs that are matched greedily, best first, as long as they overlap; 0 without any.

    Upstream: masks without a match cost nothing, on either side. Two empty masks (NaN) make the maximum NaN, which is
        not above 0: the whole image counts 0, whatever its other pairs are. Kept.
    Source: `compute_miou` of `eval/gcg/evaluate.py`.
    """
    rest = iou
    matched: list[np.float64] = []
    while rest.size and rest.max() > 0:
        row, column = np.unravel_index(rest.argmax(), rest.shape)
        matched.append(rest[row, column])
        rest = np.delete(np.delete(rest, row, axis=0), column, axis=1)
    return float(np.mean(matched)) if matched else 0.0


def image_miou_fixed(iou: Float64[np.ndarray, "predictions truths"]) -> float | None:
    """Sum of the IoUs of the best pairing, divided by the number of annotated masks.

    An annotated mask without a prediction counts as 0. `compat` ignores it, so fewer predictions can raise its value.
    A surplus prediction costs nothing here; average precision and F1 charge it. Two empty masks have an IoU of 1, as
    in gIoU. The pairing is the one with the highest sum (Hungarian), so the order of masks does not matter.

    Returns:
        None for an image without annotated masks, for which the value is undefined.
    """
    if iou.shape[1] == 0:
        return None
    values = np.nan_to_num(iou, nan=1.0)
    rows, columns = linear_sum_assignment(values, maximize=True)
    return float(np.sort(values[rows, columns]).sum() / iou.shape[1])


def mean_or_zero(values: Iterable[float | None]) -> float:
    """Mean of the values that are defined; 0 if there are none."""
    defined = [value for value in values if value is not None]
    return float(np.mean(defined)) if defined else 0.0
