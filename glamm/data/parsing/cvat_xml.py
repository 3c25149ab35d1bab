"""CVAT's XML files ("CVAT for images 1.1"): the images with their shapes, and numbers from attributes."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

from glamm.data.parsing import json_fields
from glamm.errors import DataError
from glamm.typing import Size

_BLOCK_SIZE = 1 << 16  # bytes


@dataclass(frozen=True, slots=True)
class CvatImage:
    """An `<image>` element.

    Args:
        attributes: As in the file; without a subset of its own it has that of the task.
        shapes: Name and attributes of the elements in it.
    """

    attributes: dict[str, str]
    shapes: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    @property
    def subset(self) -> str:
        """As written; "" where neither the image nor the task has one."""
        return self.attributes.get("subset", "").strip()

    @property
    def size(self) -> Size | None:
        """(height, width), or None where the file states neither.

        Raises:
            DataError: Only one is stated, or they are no size in pixels.
        """
        if "height" not in self.attributes and "width" not in self.attributes:
            return None
        height, width = (whole(self.attributes, name) for name in ("height", "width"))
        return json_fields.size(height, width, "height, width")


def stream_images(path: Path) -> Iterator[CvatImage]:
    """Yield the images while the file is being read.

    Raises:
        DataError: The file cannot be read, is no XML, is CVAT's form for videos, or has a document type, whose entities
            could expand without limit or refer to other files.
    """
    parser = _Parser(path)
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK_SIZE):
                yield from parser.parse(block)
            yield from parser.parse(b"", is_end=True)
    except (expat.ExpatError, LookupError, ValueError) as error:
        raise DataError(f"is not XML: {error}", file=path) from error
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", file=path) from error


def whole(attributes: dict[str, str], name: str) -> int:
    """An attribute that is a whole number.

    Raises:
        DataError: It is missing or something else.
    """
    return to_whole(_stated(attributes, name), name)


def number(attributes: dict[str, str], name: str) -> float:
    """An attribute that is a finite number.

    Raises:
        DataError: It is missing or something else.
    """
    return to_number(_stated(attributes, name), name)


def _stated(attributes: dict[str, str], name: str) -> str:
    if name not in attributes:
        raise DataError("is missing", field=name)
    return attributes[name]


def to_whole(text: str, name: str) -> int:
    """A whole number; `640.0` is one.

    Args:
        text: It may have spaces around it.
        name: Of the attribute, for errors.

    Raises:
        DataError: Something else.
    """
    value = to_number(text, name)
    if not value.is_integer():
        raise DataError(f"must be a whole number, is '{text[:40]}'", field=name)
    return json_fields.integer(int(value), name)


def to_number(text: str, name: str) -> float:
    """A finite number.

    Args:
        text: It may have spaces around it.
        name: Of the attribute, for errors.

    Raises:
        DataError: Something else.
    """
    try:
        return json_fields.number(float(text), name)
    except ValueError as error:
        raise DataError(f"must be a number, is '{text[:40]}'", field=name) from error


class _Parser:
    """Collects the images of a file block by block."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._elements: list[str] = []  # the names of the open ones
        self._subset = ""  # of the task; it comes before the images
        self._images: list[CvatImage] = []
        self._expat = expat.ParserCreate("utf-8")  # CVAT writes it, whatever a declaration states
        self._expat.buffer_text = True
        self._expat.StartElementHandler = self._start
        self._expat.EndElementHandler = self._end
        self._expat.CharacterDataHandler = self._text
        self._expat.StartDoctypeDeclHandler = self._refuse_document_type

    def parse(self, block: bytes, *, is_end: bool = False) -> list[CvatImage]:
        """The images that end in a block."""
        self._expat.Parse(block, is_end)
        is_unfinished = "image" in self._elements
        complete = self._images[:-1] if is_unfinished else self._images
        self._images = self._images[-1:] if is_unfinished else []
        return complete

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        parent = self._elements[-1] if self._elements else ""
        self._elements.append(name)
        if name == "track":
            reason = (
                'holds tracks of a video, which are not read: export it as "CVAT for images 1.1"'
            )
            raise DataError(reason, file=self._path)
        if name == "image" and parent == "annotations":
            self._images.append(CvatImage({"subset": self._subset} | attributes))
        elif parent == "image" and name != "attribute":
            self._images[-1].shapes.append((name, attributes))

    def _end(self, _name: str) -> None:
        self._elements.pop()

    def _text(self, text: str) -> None:
        if self._elements[-3:] in (["meta", "task", "subset"], ["meta", "job", "subset"]):
            self._subset += text

    def _refuse_document_type(self, *_: object) -> None:
        raise DataError("has a document type (DOCTYPE), which is not read", file=self._path)
