"""Overlap of predicted and annotated masks, and mIoU in both modes.

Axis names: `predictions`, `truths` are the masks of one image.
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
    """Intersection over union of every pair, from run lengths: the same last bit as from pixels.

    Returns:
        0 to 1. NaN for two empty masks; 0 for masks of different sizes.
    """
    if not predictions or not truths:
        return np.zeros((len(predictions), len(truths)))
    ours, theirs = _codes(predictions), _codes(truths)
    values = np.asarray(coco.iou(ours, theirs, [0] * len(truths)), dtype=np.float64)
    values[values < 0] = 0.0  # pycocotools' mark for different sizes
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
    """Mean overlap of pairs that are taken greedily, best first, while they overlap at all; 0 without any.

    Upstream: what is not matched costs nothing, on either side. Two empty masks (NaN) make the maximum NaN, which is
        not above 0: the whole image counts 0, whatever its other pairs. Kept.
    Source: `compute_miou` of `eval/gcg/evaluate.py`.
    """
    rest = iou
    taken: list[np.float64] = []
    while rest.size and rest.max() > 0:
        row, column = np.unravel_index(rest.argmax(), rest.shape)
        taken.append(rest[row, column])
        rest = np.delete(np.delete(rest, row, axis=0), column, axis=1)
    return float(np.mean(taken)) if taken else 0.0


def image_miou_fixed(iou: Float64[np.ndarray, "predictions truths"]) -> float | None:
    """Overlap of the best pairing, summed and divided by the number of annotated masks.

    An annotated mask that nobody predicted costs its full share, which `compat` forgives: with it, predicting less
    can raise the value. A surplus prediction costs nothing here; average precision and F1 charge it. Two empty masks
    overlap fully, as in gIoU. Pairs are chosen by the highest sum (Hungarian), so the order of masks is irrelevant.

    Returns:
        None for an image without annotated masks: there is nothing to overlap with.
    """
    if iou.shape[1] == 0:
        return None
    values = np.nan_to_num(iou, nan=1.0)
    rows, columns = linear_sum_assignment(values, maximize=True)
    return float(np.sort(values[rows, columns]).sum() / iou.shape[1])


def mean_or_zero(values: Iterable[float | None]) -> float:
    """Mean of those that are defined."""
    defined = [value for value in values if value is not None]
    return float(np.mean(defined)) if defined else 0.0
