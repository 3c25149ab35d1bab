"""Masks drawn on an image: a light fill and an outline, so that the objects keep their own colors."""

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Bool, Float32, UInt8

from glamm.geometry.palette import FILL_OPACITY, Color
from glamm.typing import Size

_SAME = 0.7  # IoU from which on two masks' outlines hide each other
_WHITE: Color = (255, 255, 255)


def draw_masks(
    canvas: UInt8[np.ndarray, "height_out width_out 3"],
    masks: Sequence[Bool[np.ndarray, "height width"]] | Bool[np.ndarray, "masks height width"],
    colors: Sequence[Color],
) -> UInt8[np.ndarray, "height_out width_out 3"]:
    """Fill and outline masks; large ones first, so that small ones stay visible.

    The outline of a mask that is nearly the same as one above it is drawn again in dashes.

    Args:
        canvas: RGB, the image at the size of the drawing.
        masks: Of the whole image, at its own size.
        colors: One for each mask.

    Returns:
        A new drawing of the same size.
    """
    size = canvas.shape[0], canvas.shape[1]
    thickness = max(2, round(size[1] / 350))
    areas = [int(mask.sum()) for mask in masks]
    order = sorted(range(len(masks)), key=lambda index: (-areas[index], index))
    canvas = canvas.copy()
    for index in order:
        coverage = _smooth(masks[index], size)
        canvas = _fill(canvas, coverage, colors[index])
        outlines = _outlines(coverage)
        cv2.drawContours(canvas, outlines, -1, _WHITE, thickness + 2, cv2.LINE_AA)
        cv2.drawContours(canvas, outlines, -1, colors[index], thickness, cv2.LINE_AA)
    for place, index in enumerate(order):
        similar = [above for above in order[place + 1 :] if areas[above] > _SAME * areas[index]]
        if any(_iou(masks[index], masks[above]) > _SAME for above in similar):
            dashes = _dashes(_outlines(_smooth(masks[index], size)), length=6 * thickness)
            cv2.polylines(canvas, dashes, False, colors[index], thickness, cv2.LINE_AA)  # noqa: FBT003
    return canvas


def _smooth(
    mask: Bool[np.ndarray, "height width"], size: Size
) -> Float32[np.ndarray, "height_out width_out"]:
    return cv2.resize(mask.astype(np.float32), size[::-1], interpolation=cv2.INTER_LINEAR)


def _fill(
    canvas: UInt8[np.ndarray, "height width 3"],
    coverage: Float32[np.ndarray, "height width"],
    color: Color,
) -> UInt8[np.ndarray, "height width 3"]:
    share = (coverage * FILL_OPACITY)[..., None]
    mixed = canvas * (1 - share) + np.asarray(color, dtype=np.float32) * share
    return mixed.round().astype(np.uint8)


def _outlines(coverage: Float32[np.ndarray, "height width"]) -> Sequence[np.ndarray]:
    """The contours of a mask and of its holes, as points (x, y)."""
    outlines, _ = cv2.findContours(
        (coverage > 0.5).astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE
    )
    return outlines


def _dashes(outlines: Sequence[np.ndarray], *, length: int) -> list[np.ndarray]:
    """Every second piece of contours; a point of a contour is one pixel from the next."""
    return [
        outline[start : start + length]
        for outline in outlines
        for start in range(0, len(outline), 2 * length)
    ]


def _iou(mask: Bool[np.ndarray, "height width"], other: Bool[np.ndarray, "height width"]) -> float:
    """The IoU of two masks, of which one is not empty."""
    return float((mask & other).sum() / (mask | other).sum())
