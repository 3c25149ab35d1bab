"""Layouts of data sets as models: one model per kind of JSON object, validated one object at a time.

A field is declared with a type of this module (`Text`, `Integer`, `CocoBox`, ...). Their checks are those of
`json_fields`, so that a message is the same wherever a value is checked. `parse` turns the first violation into a
`DataError` that names the field, such as `objects[1].bbox`.
"""

from collections.abc import Callable
from typing import Annotated, Any, TypeVar, cast

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainValidator,
    Strict,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails

from glamm.data.parsing import json_fields
from glamm.errors import DataError
from glamm.structures.sample import Mask
from glamm.typing import Box as BoxXyxy

Item = TypeVar("Item")
Model = TypeVar("Model", bound="Layout")


class Layout(BaseModel):
    """One JSON object of a data set.

    Fields that a layout does not declare are ignored. A null counts as a missing field: a required one is reported as
    missing, an optional one gets its default.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _drop_nulls(cls, value: object) -> object:
        if not isinstance(value, dict):
            return value
        fields = cast("dict[object, object]", value)
        if None not in fields.values():  # most objects: nothing to copy
            return fields
        return {name: content for name, content in fields.items() if content is not None}


def parse(model: type[Model], value: object, field: str = "") -> Model:
    """Validate one object.

    Args:
        model: Its layout.
        value: As the JSON decoder or the unpickler gave it.
        field: Path of the object inside its record, such as `objects[1]`; empty for the record itself.

    Raises:
        DataError: The first violation. Its `field` is the path of the offending field inside the record.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        path = field_path(field, *first["loc"])
        raise DataError(_reason(first), field=path or None) from error


def field_path(*parts: int | str | None) -> str:
    """Join names and indices: `objects`, 1, `bbox` is `objects[1].bbox`; empty parts are skipped."""
    path = ""
    for part in parts:
        if isinstance(part, int):
            path += f"[{part}]"
        elif part:
            path += f".{part}" if path else part
    return path


_REASONS = {
    "missing": "is missing",
    "value_error": "{error}",
    "model_type": "must be an object, is {kind}",
    "dict_type": "must be an object, is {kind}",
    "tuple_type": "must be a list, is {kind}",
    "enum": "must be {expected}",
    "too_long": "must hold {max_length} items, holds {actual_length}",
}
"""Messages by pydantic's type of violation, with the fields of its context and the kind of the value."""


def _reason(error: ErrorDetails) -> str:
    template = _REASONS.get(error["type"], "{message}")
    kind = json_fields.kind_of(error["input"])
    return template.format(kind=kind, message=error["msg"], **error.get("ctx", {}))


def _checked(check: Callable[[object, str], Any]) -> PlainValidator:
    """A validator that applies a check of `json_fields`; the path of the field comes from pydantic."""

    def validate(value: object) -> Any:  # noqa: ANN401 - the type that the field declares
        try:
            return check(value, "")
        except DataError as error:
            raise ValueError(error.reason) from error

    return PlainValidator(validate)


Text = Annotated[str, _checked(json_fields.text)]
"""A string that UTF-8 can encode."""

Integer = Annotated[int, _checked(json_fields.integer)]
"""A whole number of at most 63 bits, also as a float or as text; no truth value."""

Number = Annotated[float, _checked(json_fields.number)]
"""A finite number, also as text; no truth value."""

Flag = Annotated[bool, _checked(json_fields.flag)]
"""A truth value, or a number where 0 means no."""

Id = Annotated[int | str, _checked(json_fields.key)]
"""An id: a whole number, also as a float or as text, or other text."""

CornerBox = Annotated[BoxXyxy, _checked(json_fields.box)]
"""x1, y1, x2, y2 in pixels, finite, with an area."""

CocoBox = Annotated[BoxXyxy, _checked(json_fields.xywh)]
"""left, top, width, height in pixels, finite; converted to corners."""

Rle = Annotated[Mask, _checked(json_fields.rle)]
"""A COCO run-length mask whose runs fill its size."""

Point = Annotated[tuple[Number, Number], Strict(strict=False)]
"""x, y."""

Items = Annotated[tuple[Item, ...], Strict(strict=False)]
"""A JSON list."""

OneOrMore = Annotated[
    tuple[Item, ...],
    Strict(strict=False),
    BeforeValidator(lambda value: value if isinstance(value, list | tuple) else [value]),
]
"""A JSON list; a single item may stand without it."""

Choice = Annotated[Item, Strict(strict=False)]
"""A value of a `StrEnum`."""
