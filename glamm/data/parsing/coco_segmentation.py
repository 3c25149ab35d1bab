"""COCO segmentations: polygons, compressed runs, lists of runs, or several of these, united."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from glamm.data.parsing import json_fields
from glamm.errors import DataError
from glamm.geometry import boxes, masks
from glamm.structures.sample import Mask
from glamm.typing import Box, Size

_MIN_NUMBERS = 6  # three points
_MAX_PERIMETER = 2_000_000  # pixels; pycocotools needs memory in proportion

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Segmentation:
    """What an object covers.

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

    def sum_of_parts(self) -> dict[str, int]:
        """What adding the parts would give, which is what the release trains on."""
        total = sum(masks.area(part) for part in self.parts)
        if total == self.area:
            return {"sum": total, "max": int(total > 0)}
        layers = np.sum([masks.decode(part).astype(np.int64) for part in self.parts], axis=0)
        return {"sum": total, "max": int(layers.max())}


def segmentation(value: object, field: str, *, size: Size, report: Report) -> Segmentation:
    """Read what an object covers.

    Args:
        value: A COCO `segmentation`; None and an empty list cover nothing.
        field: Its name for errors.
        size: (height, width) of the image.
        report: Told every part that had to be left out.

    Raises:
        DataError: It is of another kind, or runs of another size than the image.
    """
    found: list[Mask] = []
    for part in _parts(value, field):
        try:
            found.append(_part(part, field, size))
        except DataError as error:
            report(error.reason)
    mask = masks.union(found) if found else masks.encode(np.zeros(size, dtype=bool))
    return Segmentation(mask, tuple(found))


def usable_box(box: Box | None, mask: Mask | None, *, size: Size) -> Box | None:
    """The file's box cut to the image; where that is thinner than a pixel the mask's own, or None."""
    if box is not None:
        cut = boxes.clip(box, size=size)
        if cut[2] - cut[0] >= 1 and cut[3] - cut[1] >= 1:
            return cut
    return masks.box_of(mask) if mask else None


def polygon(value: object, field: str, *, size: Size) -> Mask:
    """A polygon (x, y, x, y, ...) as a mask by COCO's rules.

    Raises:
        DataError: Fewer than three points, an odd count, or a way that is too long to be drawn.
    """
    if not isinstance(value, list):
        raise DataError("must be a polygon (a list of numbers)", field=field)
    numbers = [json_fields.number(part, field) for part in cast("list[Any]", value)]
    if len(numbers) < _MIN_NUMBERS or len(numbers) % 2:
        raise DataError(
            f"a polygon needs three points or more, x and y each: it has {len(numbers)} numbers",
            field=field,
        )
    points = list(zip(numbers[::2], numbers[1::2], strict=True))
    around = zip(points, points[1:] + points[:1], strict=True)
    if sum(math.dist(one, two) for one, two in around) > _MAX_PERIMETER:
        raise DataError(f"a polygon is longer than {_MAX_PERIMETER:,} pixels", field=field)
    return masks.from_polygons([numbers], size=size)


def _parts(value: object, field: str) -> Iterable[object]:
    match value:
        case None:
            return ()
        case dict():
            return (value,)
        case list() as parts if parts and all(isinstance(part, int | float) for part in parts):
            return (value,)  # one polygon without the list around it
        case list() as parts:
            return cast("list[object]", parts)
    raise DataError("must be polygons or run-length codes", field=field)


def _part(value: object, field: str, size: Size) -> Mask:
    if not isinstance(value, dict):
        return polygon(value, field, size=size)
    record = cast("json_fields.Json", value)
    mask = _runs(record, field) if isinstance(record.get("counts"), list) else None
    mask = mask or json_fields.rle(record, field)
    if mask.size != size:
        raise DataError(f"mask is {mask.size}, the image {size} (height, width)", field=field)
    return mask


def _runs(record: json_fields.Json, field: str) -> Mask:
    """A mask from a plain list of runs."""
    extent = json_fields.items(record, "size")
    if len(extent) != 2:
        raise DataError("needs a size [height, width]", field=field)
    height, width = json_fields.size(extent[0], extent[1], field)
    runs = [json_fields.integer(run, field) for run in json_fields.items(record, "counts")]
    if any(run < 0 for run in runs) or sum(runs) != height * width:
        raise DataError(
            f"mask runs add up to {sum(runs)} pixels, the size {height} x {width} needs {height * width}",
            field=field,
        )
    return masks.from_runs(runs, size=(height, width))
