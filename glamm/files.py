"""Files that are written whole or not at all, their checksums, and JSON objects.

A file that is being written lies beside its final path as `.NAME.part`; nothing reads such files, and the next
writer of the same path overwrites what a killed one left.
"""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from glamm.errors import DataError
from glamm.stop_request import uninterrupted

_SUFFIX = ".part"


@contextmanager
def replacing(path: Path, *, tag: str = "") -> Iterator[Path]:
    """Write a file that replaces `path` at the end of the block, or leaves it as it was if the block fails.

    Args:
        path: The file to replace; its folder exists.
        tag: Distinguishes writers of the same path that run at the same time, such as a process id.

    Yields:
        Where to write.

    Raises:
        OSError: With `filename` set to `path`; the former file is still there.
    """
    part = path.with_name(f".{path.name}{tag}{_SUFFIX}")
    try:
        yield part
        part.replace(path)
    except BaseException as error:
        with uninterrupted():
            part.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno is not None:
            error.filename = str(path)
        raise


@contextmanager
def scratch_folder(prefix: str, *, parent: Path | None = None) -> Iterator[Path]:
    """A new empty folder that is removed at the end of the block, also if a signal ends the block.

    Args:
        prefix: The beginning of its name.
        parent: Where it is created; the system's folder for temporary files by default.
    """
    folder: Path | None = None
    try:
        with uninterrupted():
            folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        yield folder
    finally:
        if folder is not None:
            with uninterrupted():
                shutil.rmtree(folder, ignore_errors=True)


def final_path(path: Path) -> Path | None:
    """The file that an unfinished one of `replacing` (without a tag) was to become; None for every other file."""
    if path.name.startswith(".") and path.name.endswith(_SUFFIX):
        return path.with_name(path.name[1 : -len(_SUFFIX)])
    return None


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    with replacing(path) as part:
        part.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Write UTF-8 text whole or not at all."""
    write_bytes(path, content.encode())


def sha256(path: Path) -> str:
    """The checksum of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def stand_in(path: Path) -> str | None:
    """What a file is that a download left in the place of the wanted one, with the remedy; None if it is none of these."""
    try:
        with path.open("rb") as file:
            start = file.read(64).lstrip().lower()
    except OSError:
        return None
    if start.startswith(b"version https://git-lfs"):
        return "is a git-lfs pointer, not the file itself. Run `git lfs pull` in its folder, or download it again."
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        return (
            "is a web page, not the file itself. Download it again; the address may need a login."
        )
    return None


def read_json_object(path: Path) -> dict[str, Any]:
    """Read a file that holds one JSON object.

    Raises:
        DataError: It cannot be read, is not JSON, or holds something else; the message names the file.
    """
    try:
        value = json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", file=path) from error
    except (ValueError, RecursionError) as error:
        raise DataError(stand_in(path) or f"is not JSON: {error}", file=path) from error
    if not isinstance(value, dict):
        raise DataError("must be a JSON object", file=path)
    return cast("dict[str, Any]", value)
