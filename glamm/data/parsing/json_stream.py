"""JSON files with faults named by position, and long lists read one element at a time."""

import codecs
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from glamm.errors import DataError

_BLOCK = 1 << 20
_NO_BLANK = re.compile(r"[^ \t\r\n]")


def read_json(path: Path) -> Any:  # noqa: ANN401 - JSON is any
    """Read a whole file.

    Bytes that are not UTF-8 become lone surrogates, which `fields.text` refuses: one bad word costs one record.

    Raises:
        DataError: Not JSON or unreadable; with the position.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", file=path) from error
    return parse_json(data, path)


def parse_json(data: bytes, path: Path) -> Any:  # noqa: ANN401 - JSON is any
    """As `read_json`, for bytes that are somewhere in a file.

    Raises:
        DataError: Not JSON; with the position.
    """
    try:
        return json.loads(data.decode("utf-8-sig", "surrogateescape"))
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno} (character {error.pos})"
        raise DataError(f"is not JSON: {error.msg} at {place}", file=path) from error
    except ValueError as error:  # a whole number of thousands of digits
        raise DataError(f"is not JSON that can be read: {error}", file=path) from error
    except RecursionError as error:
        raise DataError("is nested too deeply to be an annotation file", file=path) from error


def stream_list(path: Path) -> Iterator[Any]:
    """Yield the elements of a file that is one JSON list, holding one block of it in memory.

    Raises:
        DataError: As `read_json`, when the fault is reached; what came before is whole.
    """
    window = _Window(path)
    if window.peek() != "[":
        raise window.fault("must be a list of records")
    window.skip(1)
    if window.peek() == "]":
        return
    while True:
        yield window.element()
        after = window.peek()
        if after not in {",", "]"}:
            raise window.fault("expected ',' or ']' after a record")
        window.skip(1)
        if after == "]":
            break
    if window.peek():
        raise window.fault("there is more after the end of the list")


class _Window:
    """The part of a text file that has been read and not yet used."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._blocks = _blocks(path)
        self._text = ""
        self._start = 0  # of what is unused, in _text
        self._used = 0  # characters dropped before _text
        self._lines = 1
        self._decoder = json.JSONDecoder()

    def peek(self) -> str:
        """The next character that is no blank; empty at the end of the file."""
        while True:
            self._start = _after_blanks(self._text, self._start)
            if self._start < len(self._text):
                return self._text[self._start]
            if not self._read():
                return ""

    def skip(self, count: int) -> None:
        self._start += count

    def element(self) -> Any:  # noqa: ANN401 - JSON is any
        self.peek()
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._start)
            except json.JSONDecodeError as error:
                position = error.pos - self._start
                if self._read():
                    continue
                raise self.fault(error.msg, at=position) from error
            except ValueError as error:  # a whole number of thousands of digits
                raise self.fault(str(error)) from error
            except RecursionError as error:
                raise self.fault("nested too deeply") from error
            after = _after_blanks(self._text, end)
            if self._text[after : after + 1] not in {",", "]"} and self._read():
                continue  # a number may go on in the next block
            self._start = end
            return value

    def fault(self, message: str, *, at: int | None = None) -> DataError:
        position = self._start if at is None else at
        before = self._text[:position]
        line = self._lines + before.count("\n")
        place = f"line {line} (character {self._used + position})"
        return DataError(f"is not the expected JSON: {message} at {place}", file=self._path)

    def _read(self) -> bool:
        """Drop what is used and append as much as is left, at least a block, so that work stays linear."""
        dropped = self._text[: self._start]
        self._lines += dropped.count("\n")
        self._used += len(dropped)
        kept = self._text[self._start :]
        self._start = 0
        more: list[str] = []
        while sum(map(len, more)) <= len(kept):
            block = next(self._blocks, "")
            if not block:
                break
            more.append(block)
        self._text = kept + "".join(more)
        return bool(more)


def _after_blanks(text: str, start: int) -> int:
    """Where the first character that is no blank stands, or the end."""
    found = _NO_BLANK.search(text, start)
    return found.start() if found else len(text)


def _blocks(path: Path) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8-sig")("surrogateescape")
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                if text := decoder.decode(
                    block
                ):  # nothing yet when a block ends inside a character
                    yield text
            yield decoder.decode(b"", final=True)
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", file=path) from error
