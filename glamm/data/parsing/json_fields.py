"""Fields of records that nobody checked before: typed, or a DataError that names them."""

import math
from typing import Any, cast

from glamm.errors import DataError
from glamm.geometry import boxes, masks
from glamm.structures.sample import Mask
from glamm.typing import Box, Size

Json = dict[str, Any]

_MAX_SIDE = 100_000
_MAX_INTEGER = 1 << 63


def mapping(value: object, field: str) -> Json:
    """A JSON object.

    Raises:
        DataError: Something else.
    """
    if not isinstance(value, dict):
        raise DataError(f"must be an object, is {kind_of(value)}", field=field)
    return cast("Json", value)


def items(record: Json, field: str) -> list[Any]:
    """A list; a missing one is empty.

    Raises:
        DataError: Something else.
    """
    value = record.get(field)
    if value is None:
        return []
    if not isinstance(value, list):
        raise DataError(f"must be a list, is {kind_of(value)}", field=field)
    return cast("list[Any]", value)


def text(record: Json, field: str) -> str:
    """A string that UTF-8 can write.

    Raises:
        DataError: Missing, or something else.
    """
    value = record.get(field)
    if not isinstance(value, str):
        raise DataError(
            "is missing" if value is None else f"must be text, is {kind_of(value)}", field=field
        )
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"is not valid Unicode text ({value[error.start]!a} at character {error.start})",
            field=field,
        ) from error
    return value


def integer(value: object, field: str) -> int:
    """A whole number.

    Raises:
        DataError: Something else.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise DataError(
            "is missing" if value is None else f"must be a whole number, is {kind_of(value)}",
            field=field,
        )
    if not -_MAX_INTEGER < value < _MAX_INTEGER:
        raise DataError("is too large a number", field=field)
    return value


def key(value: object, field: str) -> int | str:
    """An id: a whole number or text.

    Raises:
        DataError: Something else.
    """
    return text({field: value}, field) if isinstance(value, str) else integer(value, field)


def optional_number(record: Json, field: str) -> float | None:
    """A finite number or None.

    Raises:
        DataError: Something else.
    """
    value = record.get(field)
    return None if value is None else number(value, field)


def box(value: object, field: str) -> Box:
    """x1, y1, x2, y2, finite, with positive sides.

    Raises:
        DataError: Something else.
    """
    if value is None:
        raise DataError("is missing", field=field)
    if not isinstance(value, list) or len(cast("list[Any]", value)) != 4:
        raise DataError("must be four numbers x1, y1, x2, y2", field=field)
    x1, y1, x2, y2 = (number(part, field) for part in cast("list[Any]", value))
    if x1 >= x2 or y1 >= y2:
        raise DataError(f"has no area: {[x1, y1, x2, y2]}", field=field)
    return x1, y1, x2, y2


def xywh(value: object, field: str) -> Box:
    """A COCO box (left, top, width, height) as corners, finite; its sides may be anything.

    Raises:
        DataError: Something else.
    """
    if value is None:
        raise DataError("is missing", field=field)
    if not isinstance(value, list) or len(cast("list[Any]", value)) != 4:
        raise DataError("must be four numbers left, top, width, height", field=field)
    return boxes.from_xywh([number(part, field) for part in cast("list[Any]", value)])


def size(height: object, width: object, field: str) -> Size:
    """(height, width) in pixels.

    Raises:
        DataError: Not positive whole numbers of a reasonable size.
    """
    sides = integer(height, field), integer(width, field)
    if not all(0 < side <= _MAX_SIDE for side in sides):
        raise DataError(f"must be height and width in pixels, is {list(sides)}", field=field)
    return sides


def rle(value: object, field: str) -> Mask:
    """A COCO compressed run-length mask whose runs fill its size.

    Raises:
        DataError: Something else.
    """
    record = mapping(value, field)
    extent = record.get("size")
    if not isinstance(extent, list) or len(cast("list[Any]", extent)) != 2:
        raise DataError("needs a size [height, width]", field=field)
    height, width = size(extent[0], extent[1], field)
    counts = record.get("counts")
    if isinstance(counts, list):
        raise DataError("has uncompressed runs; compress them with pycocotools first", field=field)
    if not isinstance(counts, str):
        raise DataError("needs counts", field=field)
    mask = Mask((height, width), counts.encode("utf-8", "replace"))
    try:
        masks.check_runs(mask)
    except ValueError as error:
        raise DataError(str(error), field=field) from error
    return mask


def number(value: object, field: str) -> float:
    """A finite number.

    Raises:
        DataError: Something else.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise DataError(f"must hold numbers, holds {kind_of(value)}", field=field)
    try:
        found = float(value)
    except OverflowError:
        found = math.inf
    if not math.isfinite(found):
        raise DataError("holds a number that is not finite", field=field)
    return found


def kind_of(value: object) -> str:
    """What a JSON value is, for messages."""
    return {dict: "an object", list: "a list", str: "text", bool: "a truth value"}.get(
        type(value), type(value).__name__
    )
