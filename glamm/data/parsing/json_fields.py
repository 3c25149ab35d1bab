"""Checks of values that come from JSON: each returns a typed value, or raises a DataError that names the field.

`glamm.data.parsing.layout` makes types of layouts from these checks.
"""

import math
import re
from typing import Any, cast

from glamm.errors import DataError
from glamm.geometry import boxes, masks
from glamm.structures.sample import Mask
from glamm.typing import Box, Size

Json = dict[str, Any]
"""A JSON object whose fields are not yet checked."""

_MAX_SIDE = 100_000  # pixels
_MAX_INTEGER = 1 << 63

_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?\s*", re.ASCII)

_KINDS: dict[type, str] = {dict: "an object", list: "a list", str: "text", bool: "a truth value"}


def mapping(value: object, field: str) -> Json:
    """A JSON object.

    Raises:
        DataError: Something else.
    """
    if not isinstance(value, dict):
        raise DataError(f"must be an object, is {kind_of(value)}", field=field)
    return cast("Json", value)


def items(value: object, field: str) -> list[Any]:
    """A list; None is an empty one.

    Raises:
        DataError: Something else.
    """
    if value is None:
        return []
    if not isinstance(value, list):
        raise DataError(f"must be a list, is {kind_of(value)}", field=field)
    return cast("list[Any]", value)


def text(value: object, field: str) -> str:
    """A string that UTF-8 can encode: it has no lone surrogates.

    Raises:
        DataError: None, or something else.
    """
    if value is None:
        raise DataError("is missing", field=field)
    if not isinstance(value, str):
        raise DataError(f"must be text, is {kind_of(value)}", field=field)
    try:
        value.encode()
    except UnicodeEncodeError as error:
        position = f"{value[error.start]!a} at character {error.start}"
        raise DataError(f"is not valid Unicode text ({position})", field=field) from error
    return value


def integer(value: object, field: str) -> int:
    """A whole number of at most 63 bits; a whole float and the text of a whole number are read as one.

    Raises:
        DataError: None, or something else.
    """
    if value is None:
        raise DataError("is missing", field=field)
    result = _whole(value)
    if result is None:
        raise DataError(f"must be a whole number, is {kind_of(value)}", field=field)
    if not -_MAX_INTEGER < result < _MAX_INTEGER:
        raise DataError("is too large a number", field=field)
    return result


def key(value: object, field: str) -> int | str:
    """An id: a whole number or text. The text of a whole number is that number, as its counterpart may have it.

    Raises:
        DataError: None, or something else.
    """
    if isinstance(value, str):
        whole = _whole(value)
        # "007" and "7" may be two ids
        is_same = whole is not None and str(whole) == value and abs(whole) < _MAX_INTEGER
        return whole if is_same and whole is not None else text(value, field)
    return integer(value, field)


def flag(value: object, field: str) -> bool:
    """A truth value, or a number where 0 means no.

    Raises:
        DataError: Something else.
    """
    return value if isinstance(value, bool) else bool(number(value, field))


def number(value: object, field: str) -> float:
    """A finite number; the text of a number is read as one.

    Raises:
        DataError: Something else.
    """
    is_text = isinstance(value, str) and _NUMBER.fullmatch(value) is not None
    if isinstance(value, bool) or not (is_text or isinstance(value, int | float)):
        raise DataError(f"must hold numbers, holds {kind_of(value)}", field=field)
    try:
        result = float(cast("float | str", value))
    except OverflowError:
        result = math.inf
    if not math.isfinite(result):
        raise DataError("holds a number that is not finite", field=field)
    return result


def optional_number(value: object, field: str) -> float | None:
    """A finite number or None.

    Raises:
        DataError: Something else.
    """
    return None if value is None else number(value, field)


def box(value: object, field: str) -> Box:
    """x1, y1, x2, y2 in pixels, finite, with positive sides.

    Raises:
        DataError: None, or something else.
    """
    x1, y1, x2, y2 = _four_numbers(value, field, "x1, y1, x2, y2")
    if x1 >= x2 or y1 >= y2:
        raise DataError(f"has no area: {[x1, y1, x2, y2]}", field=field)
    return x1, y1, x2, y2


def xywh(value: object, field: str) -> Box:
    """A COCO box (left, top, width, height) as corners x1, y1, x2, y2; finite, but its sides may be negative.

    Raises:
        DataError: None, or something else.
    """
    return boxes.from_xywh(_four_numbers(value, field, "left, top, width, height"))


def size(height: object, width: object, field: str) -> Size:
    """(height, width) in pixels.

    Raises:
        DataError: Not two whole numbers from 1 to 100,000.
    """
    sides = integer(height, field), integer(width, field)
    if not all(0 < side <= _MAX_SIDE for side in sides):
        raise DataError(f"must be height and width in pixels, is {list(sides)}", field=field)
    return sides


def rle(value: object, field: str) -> Mask:
    """A COCO run-length mask, compressed or not, whose runs fill its size; it may stand in a list of its own.

    Raises:
        DataError: Something else.
    """
    is_wrapped = isinstance(value, list) and len(cast("list[object]", value)) == 1
    code = mapping(cast("list[object]", value)[0] if is_wrapped else value, field)
    extent = code.get("size")
    if not isinstance(extent, list) or len(cast("list[Any]", extent)) != 2:
        raise DataError("needs a size [height, width]", field=field)
    height, width = size(extent[0], extent[1], field)
    counts = code.get("counts")
    if isinstance(counts, list):
        return _mask_from_runs(cast("list[object]", counts), (height, width), field)
    if not isinstance(counts, str):
        raise DataError("needs counts", field=field)
    mask = Mask((height, width), counts.encode("utf-8", "replace"))
    try:
        masks.check_runs(mask)
    except ValueError as error:
        raise DataError(str(error), field=field) from error
    return mask


def _mask_from_runs(values: list[object], extent: Size, field: str) -> Mask:
    runs = [integer(run, field) for run in values]
    num_pixels = extent[0] * extent[1]
    if any(run < 0 for run in runs) or sum(runs) != num_pixels:
        raise DataError(
            f"mask runs add up to {sum(runs)} pixels, the size {extent[0]} x {extent[1]} needs {num_pixels}",
            field=field,
        )
    return masks.from_runs(runs, size=extent)


def _whole(value: object) -> int | None:
    """The whole number that a value is or means; None for anything else."""
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        digits = value.strip()
        value = int(digits) if digits.lstrip("+-").isdigit() else float(digits)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def kind_of(value: object) -> str:
    """What a JSON value is, for messages."""
    return _KINDS.get(type(value), type(value).__name__)


def _four_numbers(value: object, field: str, names: str) -> list[float]:
    if value is None:
        raise DataError("is missing", field=field)
    if not isinstance(value, list) or len(cast("list[Any]", value)) != 4:
        raise DataError(f"must be four numbers {names}", field=field)
    return [number(item, field) for item in cast("list[Any]", value)]
