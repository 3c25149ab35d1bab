"""Boxes (x1, y1, x2, y2), in pixels or as fractions of the image."""

from collections.abc import Sequence

from glamm.typing import Box, Size


def from_xywh(box: Sequence[float]) -> Box:
    """Convert a COCO box (left, top, width, height) to corners."""
    left, top, width, height = (float(value) for value in box)
    return left, top, left + width, top + height


def to_unit(box: Box, *, size: Size) -> Box:
    """Convert pixels to fractions of the image of (height, width) `size`; the whole image is (0, 0, 1, 1)."""
    height, width = size
    x1, y1, x2, y2 = box
    return x1 / width, y1 / height, x2 / width, y2 / height


def clip(box: Box, *, size: Size) -> Box:
    """Clip a box in pixels to the image of (height, width) `size`."""
    height, width = size
    x1, y1, x2, y2 = box
    return (
        min(max(x1, 0.0), float(width)),
        min(max(y1, 0.0), float(height)),
        min(max(x2, 0.0), float(width)),
        min(max(y2, 0.0), float(height)),
    )


def is_inside(box: Box, *, size: Size, tolerance_px: float = 0.0) -> bool:
    """Whether a box in pixels has positive sides and lies in the image, up to a tolerance."""
    height, width = size
    x1, y1, x2, y2 = box
    return (
        -tolerance_px <= x1 < x2 <= width + tolerance_px
        and -tolerance_px <= y1 < y2 <= height + tolerance_px
    )
