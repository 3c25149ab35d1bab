"""Reads a question out of a multipart form; whatever is wrong with it becomes one sentence."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from glamm.errors import RequestError
from glamm.serving.schemas import MAX_QUESTION_CHARACTERS
from glamm.typing import Box

_FIELDS = ("image", "question", "boxes")
_HOW = "send multipart/form-data with the fields image (a file), question and, if wanted, boxes"


@dataclass(frozen=True, slots=True)
class Question:
    """What a person asks.

    Args:
        image: Content of the image file, unread.
        text: The words.
        boxes: Regions in pixels, each four numbers, otherwise unchecked.
    """

    image: bytes
    text: str
    boxes: tuple[Box, ...]


async def read_form(request: Request) -> Question:
    """Read the body of a request.

    Raises:
        RequestError: It is no form, a field is missing, unknown or double, or has another type.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "multipart/form-data":
        raise RequestError(f"the request is '{kind or 'of no type'}': {_HOW}")
    form = await _parse(request)
    try:
        _check_names(form)
        return Question(
            image=await _read_image(form),
            text=_read_question(_read_text(form, "question")),
            boxes=_read_boxes(_read_text(form, "boxes", default="[]")),
        )
    finally:
        await form.close()


async def _parse(request: Request) -> FormData:
    try:
        return await request.form(max_files=8, max_fields=8)
    except HTTPException as error:
        raise RequestError(f"the form cannot be read ({error.detail}): {_HOW}") from error
    except (ValueError, LookupError) as error:  # what python-multipart raises for broken parts
        raise RequestError(f"the form cannot be read ({error}): {_HOW}") from error


def _check_names(form: FormData) -> None:
    for name in form:
        if name not in _FIELDS:
            raise RequestError(f"unknown field '{name[:50]}': {_HOW}")
        count = len(form.getlist(name))
        if count > 1:
            raise RequestError(f"{count} fields are called {name}, one is needed")


async def _read_image(form: FormData) -> bytes:
    image = form.get("image")
    if image is None:
        raise RequestError(f"the field image is missing: {_HOW}")
    if not isinstance(image, UploadFile):
        raise RequestError("the field image is text, it must be a file: web addresses are not read")
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
    if len(text) > 1 and text[0] == text[-1] == '"':  # BentoML's client sends text as JSON
        try:
            return str(json.loads(text))
        except ValueError:
            return text
    return text


def _read_boxes(text: str) -> tuple[Box, ...]:
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RequestError(
            "boxes is not JSON; write them as [[x1, y1, x2, y2], …], or leave the field out"
        ) from error
    if not isinstance(value, list):
        raise RequestError(
            "boxes must be a list of boxes, each [x1, y1, x2, y2] in pixels of the image"
        )
    boxes = cast("list[object]", value)
    return tuple(_read_box(box, number) for number, box in enumerate(boxes, start=1))


def _read_box(value: object, number: int) -> Box:
    if not isinstance(value, list) or len(cast("Sequence[object]", value)) != 4:
        raise RequestError(f"box {number} must be four numbers: [x1, y1, x2, y2]")
    numbers = cast("list[object]", value)
    if not all(isinstance(item, int | float) and not isinstance(item, bool) for item in numbers):
        raise RequestError(f"box {number} holds something that is no number")
    try:
        x1, y1, x2, y2 = (float(cast("float", item)) for item in numbers)
    except OverflowError as error:
        raise RequestError(f"box {number} holds a number that is too large") from error
    return x1, y1, x2, y2
