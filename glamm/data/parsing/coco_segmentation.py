"""COCO segmentations: polygons, run-length codes, or several of these, which are united."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import numpy as np

from glamm.data.parsing import json_fields
from glamm.errors import DataError
from glamm.geometry import boxes, masks
from glamm.structures.sample import Mask
from glamm.typing import Box, Size

_MIN_COORDINATES = 6  # three points
_MAX_PERIMETER = 2_000_000  # pixels; the memory that pycocotools needs is proportional to it

Report = Callable[[str], object]
"""Called with the reason for which a part is left out."""


@dataclass(frozen=True, slots=True)
class Segmentation:
    """The pixels of an object.

    Args:
        mask: The union of all parts; it may be empty.
        parts: As the file has them.
    """

    mask: Mask
    parts: tuple[Mask, ...]

    @property
    def area(self) -> int:
        """Number of pixels of the union."""
        return masks.area(self.mask)


def parse_segmentation(value: object, field: str, *, size: Size, report: Report) -> Segmentation:
    """Convert a COCO `segmentation`.

    Args:
        value: The JSON value; None and an empty list are an empty mask.
        field: Its name, for errors.
        size: (height, width) of the image.
        report: Called for every part that is left out because it is invalid.

    Raises:
        DataError: The value is neither a list nor an object.
    """
    parts: list[Mask] = []
    for part in _parts(value, field):
        try:
            parts.append(_part(part, field, size))
        except DataError as error:
            report(error.reason)
    mask = masks.union(parts) if parts else masks.encode(np.zeros(size, dtype=bool))
    return Segmentation(mask, tuple(parts))


def usable_box(box: Box | None, mask: Mask | None, *, size: Size) -> Box | None:
    """The box of an object inside its image.

    Args:
        box: x1, y1, x2, y2 of the file, in pixels; it may reach outside the image.
        mask: The object's mask.
        size: (height, width) of the image.

    Returns:
        The file's box clipped to the image. Where a side of that is below one pixel, or the file has no box, the
        bounding box of the mask; None where there is no mask either, or it is empty.
    """
    if box is not None:
        x1, y1, x2, y2 = boxes.clip(box, size=size)
        if x2 - x1 >= 1 and y2 - y1 >= 1:
            return x1, y1, x2, y2
    return masks.box_of(mask) if mask else None


def polygon_mask(value: object, field: str, *, size: Size) -> Mask:
    """Fill a polygon by COCO's rules.

    Args:
        value: A list of numbers x, y, x, y, ... in pixels, or of pairs [x, y].
        field: Its name, for errors.
        size: (height, width) of the mask.

    Raises:
        DataError: No list of numbers, fewer than three points, an odd count, or an outline too long to be drawn.
    """
    if not isinstance(value, list):
        raise DataError("must be a polygon (a list of numbers)", field=field)
    items = cast("list[object]", value)
    if items and all(map(_is_point, items)):
        items = [number for point in cast("list[list[object]]", items) for number in point]
    numbers = [json_fields.number(item, field) for item in items]
    if len(numbers) < _MIN_COORDINATES or len(numbers) % 2:
        raise DataError(
            f"a polygon needs three points or more, x and y each: it has {len(numbers)} numbers",
            field=field,
        )
    points = list(zip(numbers[::2], numbers[1::2], strict=True))
    edges = zip(points, points[1:] + points[:1], strict=True)
    if sum(math.dist(start, end) for start, end in edges) > _MAX_PERIMETER:
        raise DataError(
            f"the outline of a polygon is longer than {_MAX_PERIMETER:,} pixels", field=field
        )
    return masks.from_polygons([numbers], size=size)


def _parts(value: object, field: str) -> list[object]:
    match value:
        case None:
            return []
        case dict():
            return [value]
        case list():
            parts = cast("list[object]", value)
            # a polygon may lack the list around it
            is_polygon = bool(parts) and (all(map(_is_scalar, parts)) or all(map(_is_point, parts)))
            return [value] if is_polygon else parts
    raise DataError("must be polygons or run-length codes", field=field)


def _is_scalar(value: object) -> bool:
    return isinstance(value, int | float | str)


def _is_point(value: object) -> bool:
    """Whether a value is a pair of numbers."""
    items = cast("list[object]", value) if isinstance(value, list) else []
    return len(items) == 2 and all(map(_is_scalar, items))


def _part(value: object, field: str, size: Size) -> Mask:
    if not isinstance(value, dict):
        return polygon_mask(value, field, size=size)
    mask = json_fields.rle(cast("json_fields.Json", value), field)
    if mask.size != size:
        raise DataError(f"mask is {mask.size}, the image {size} (height, width)", field=field)
    return mask
