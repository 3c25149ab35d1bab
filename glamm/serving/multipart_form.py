"""Reads an image, a question and its options from a multipart form; every error is one sentence."""

import json
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field, Strict, TypeAdapter, ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from glamm.errors import RequestError
from glamm.inference.engine_options import DEFAULT_MAX_NEW_TOKENS
from glamm.serving.schemas import MAX_QUESTION_CHARACTERS

_FIELDS = ("image", "question", "boxes", "max_new_tokens")
_Box = Annotated[list[Annotated[float, Strict()]], Field(min_length=4, max_length=4)]
_BOXES = TypeAdapter(list[_Box])
_HOW = "send multipart/form-data with the fields image (a file), question and, if wanted, boxes and max_new_tokens"


@dataclass(frozen=True, slots=True)
class FormContent:
    """The fields of a form, with the right types; the session checks their values.

    Args:
        image: Content of the image file, not decoded.
        question: Plain text.
        boxes: Regions in pixels, each a list of four numbers.
        max_new_tokens: Limit of the answer's length.
    """

    image: bytes
    question: str
    boxes: list[list[float]]
    max_new_tokens: int


async def read_form(request: Request) -> FormContent:
    """Read the form in the body of a request.

    Raises:
        RequestError: It is no form, or a field is missing, unknown, given twice or of another type.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "multipart/form-data":
        raise RequestError(f"the request is '{kind or 'of no type'}': {_HOW}")
    form = await _parse(request)
    try:
        _check_names(form)
        return FormContent(
            image=await _read_image(form),
            question=_read_question(_read_text(form, "question")),
            boxes=_read_boxes(_read_text(form, "boxes", default="[]")),
            max_new_tokens=_read_count(
                _read_text(form, "max_new_tokens", default=str(DEFAULT_MAX_NEW_TOKENS))
            ),
        )
    finally:
        await form.close()


async def _parse(request: Request) -> FormData:
    try:
        return await request.form(max_files=8, max_fields=8)
    except HTTPException as error:
        raise RequestError(f"the form cannot be read ({error.detail}): {_HOW}") from error
    except (ValueError, LookupError) as error:  # raised by python-multipart for malformed parts
        raise RequestError(f"the form cannot be read ({error}): {_HOW}") from error


def _check_names(form: FormData) -> None:
    for name in form:
        if name not in _FIELDS:
            raise RequestError(f"unknown field '{name[:50]}': {_HOW}")
        count = len(form.getlist(name))
        if count > 1:
            raise RequestError(f"{count} fields are called {name}; send one")


async def _read_image(form: FormData) -> bytes:
    image = form.get("image")
    if image is None:
        raise RequestError(f"the field image is missing: {_HOW}")
    if not isinstance(image, UploadFile):
        raise RequestError(
            "the field image is text, it must be a file with a name: web addresses are not read"
        )
    return await image.read()


def _read_text(form: FormData, name: str, *, default: str | None = None) -> str:
    value = form.get(name, default)
    if value is None:
        raise RequestError(f"the field {name} is missing: {_HOW}")
    if isinstance(value, UploadFile):
        raise RequestError(f"the field {name} is a file, it must be text")
    return value


def _read_question(text: str) -> str:
    if len(text) > MAX_QUESTION_CHARACTERS:
        raise RequestError(
            f"the question has {len(text)} characters, at most {MAX_QUESTION_CHARACTERS} are read: shorten it"
        )
    if len(text) > 1 and text[0] == text[-1] == '"':  # BentoML's client sends strings as JSON
        try:
            return str(json.loads(text))
        except ValueError:
            return text
    return text


def _read_boxes(text: str) -> list[list[float]]:
    if text.strip() in {"", "null"}:  # the field of a page that was left empty
        return []
    try:
        return _BOXES.validate_json(text)
    except ValidationError as error:
        raise RequestError(_explain(error)) from error


def _read_count(text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise RequestError("max_new_tokens must be a whole number") from error


def _explain(error: ValidationError) -> str:
    first = error.errors()[0]
    location = [int(index) + 1 for index in first["loc"]]
    if first["type"] == "json_invalid":
        return "boxes is not JSON; write them as [[x1, y1, x2, y2], …], or leave the field out"
    if not location:
        return "boxes must be a list of boxes, each [x1, y1, x2, y2] in pixels of the image"
    if len(location) == 1:
        return f"box {location[0]} must be four numbers: [x1, y1, x2, y2]"
    return f"value {location[1]} of box {location[0]} is no number"
