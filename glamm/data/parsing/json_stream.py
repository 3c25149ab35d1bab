"""JSON files read whole, or a long list element by element; errors name the position in the file.

Source: RFC 8259. `ijson` would refuse a file with one byte that is not UTF-8; here such a byte costs one record.
"""

import codecs
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from glamm.errors import DataError

BLOCK_SIZE = 1 << 20  # bytes read at a time
_NOT_BLANK = re.compile(r"[^ \t\r\n]")


def read_json(path: Path) -> Any:  # noqa: ANN401 - JSON is any
    """Read a whole file.

    A file is UTF-8, or UTF-16 with the mark at its start that Windows' tools write. Bytes that are not UTF-8 become lone
    surrogates, which `json_fields.text` refuses: a damaged string costs only the
    record that holds it.

    Raises:
        DataError: The file cannot be read or is not JSON; the message has the position.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", file=path) from error
    return parse_json(data, path)


def parse_json(data: bytes, path: Path) -> Any:  # noqa: ANN401 - JSON is any
    """Decode bytes as `read_json` does.

    Args:
        data: One JSON document.
        path: The file that holds it, for the message.

    Raises:
        DataError: Not JSON; the message has the position.
    """
    try:
        return json.loads(data.decode(_encoding(data), "surrogateescape"))
    except json.JSONDecodeError as error:
        position = f"line {error.lineno}, column {error.colno} (character {error.pos})"
        raise DataError(f"is not JSON: {error.msg} at {position}", file=path) from error
    except ValueError as error:  # an integer of thousands of digits
        raise DataError(f"is not readable JSON: {error}", file=path) from error
    except RecursionError as error:
        raise DataError("is nested too deeply to be an annotation file", file=path) from error


def stream_list(path: Path, *, block_size: int = BLOCK_SIZE) -> Iterator[Any]:
    """Yield the elements of a file that is one JSON list, without holding the list in memory.

    Args:
        path: The file.
        block_size: Bytes that are read at a time.

    Raises:
        DataError: As `read_json`, when the damaged element is reached; the elements before it are intact.
    """
    window = _Window(path, block_size)
    if window.peek() != "[":
        raise window.error("must be a list of records")
    window.skip(1)
    if window.peek() == "]":
        return
    while True:
        yield window.element()
        separator = window.peek()
        if separator not in {",", "]"}:
            raise window.error("expected ',' or ']' after a record")
        window.skip(1)
        if separator == "]":
            break
    if window.peek():
        raise window.error("there is more after the end of the list")


class _Window:
    """The text of a file that has been read but not yet decoded."""

    def __init__(self, path: Path, block_size: int) -> None:
        self._path = path
        self._blocks = _blocks(path, block_size)
        self._text = ""
        self._start = 0  # index in _text of what is not yet decoded
        self._num_dropped = 0  # characters of the file before _text
        self._line = 1  # of the first character of _text
        self._decoder = json.JSONDecoder()

    def peek(self) -> str:
        """The next character that is not blank; empty at the end of the file."""
        while True:
            self._start = _skip_blanks(self._text, self._start)
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
                offset = error.pos - self._start
                if self._read():
                    continue
                raise self.error(error.msg, at=offset) from error
            except ValueError as error:  # an integer of thousands of digits
                raise self.error(str(error)) from error
            except RecursionError as error:
                raise self.error("nested too deeply") from error
            after = _skip_blanks(self._text, end)
            if self._text[after : after + 1] not in {",", "]"} and self._read():
                continue  # a number may continue in the next block
            self._start = end
            return value

    def error(self, message: str, *, at: int | None = None) -> DataError:
        """An error at an index of the text, or at the next character."""
        index = self._start if at is None else at
        line = self._line + self._text[:index].count("\n")
        position = f"line {line} (character {self._num_dropped + index})"
        return DataError(f"is not the expected JSON: {message} at {position}", file=self._path)

    def _read(self) -> bool:
        """Drop the decoded text and read more: as much as is left, at least a block, so that work stays linear."""
        dropped = self._text[: self._start]
        self._line += dropped.count("\n")
        self._num_dropped += len(dropped)
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


def _skip_blanks(text: str, start: int) -> int:
    """Index of the first character that is not blank, or the length of the text."""
    match = _NOT_BLANK.search(text, start)
    return match.start() if match else len(text)


def _encoding(start: bytes) -> str:
    is_utf16 = start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return "utf-16" if is_utf16 else "utf-8-sig"


def _blocks(path: Path, size: int) -> Iterator[str]:
    try:
        with path.open("rb") as file:
            encoding = _encoding(file.read(len(codecs.BOM_UTF16)))
            file.seek(0)
            decoder = codecs.getincrementaldecoder(encoding)("surrogateescape")
            while block := file.read(size):
                text = decoder.decode(block)
                if text:  # empty when a block ends inside the first character
                    yield text
            yield decoder.decode(b"", final=True)
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", file=path) from error
