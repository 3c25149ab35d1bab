"""Files that are whole or absent, and a folder that holds nothing but one data set."""

import json
import pickle  # noqa: TID251 - it is written, never read
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from glamm.errors import DataError

STAMP = ".parameters.json"
_UNFINISHED = ".unfinished"


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees all of it or none.

    Raises:
        OSError: The disk is full or the place cannot be written; nothing is left behind.
    """
    unfinished = path.with_name(f"{path.name}{_UNFINISHED}")
    try:
        unfinished.write_bytes(content)
        unfinished.replace(path)
    except BaseException as error:
        unfinished.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)  # a full disk does not say which file it was
        raise


def write_json(path: Path, value: Any) -> None:  # noqa: ANN401 - any JSON
    """Write JSON whole, in one line."""
    write_whole(path, json.dumps(value, ensure_ascii=False).encode())


def write_pickle(path: Path, value: Any) -> None:  # noqa: ANN401 - any JSON
    """Write plain values in the form that RefCOCO's own tools read; equal values give equal bytes."""
    # a pickle repeats what is the same object: through JSON, equal values become the same objects always
    plain = json.loads(json.dumps(value))
    write_whole(path, pickle.dumps(plain, protocol=2))


def claim(folder: Path, *, stamp: dict[str, Any], expected: Iterable[str]) -> None:
    """Make a folder ours, or go on in one that the same parameters began.

    Args:
        folder: Where the data set goes.
        stamp: Everything that decides its bytes.
        expected: Paths of all its files, relative to the folder.

    Raises:
        DataError: The folder holds a data set of other parameters, or files that are not of this one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = set(expected) | {STAMP}
    known = folder / STAMP
    if known.exists():
        _check_stamp(known, stamp)
    for path in sorted(folder.rglob("*")):
        if path.is_dir():
            continue
        relative = path.relative_to(folder).as_posix()
        if relative.endswith(_UNFINISHED) and relative.removesuffix(_UNFINISHED) in names:
            path.unlink()  # left by a run that was killed
        elif relative not in names or not known.exists():
            reason = f"is not part of the data set that is to be written into {folder}. Name an empty folder, or remove what is in this one."
            raise DataError(reason, file=path)
    write_json(known, stamp)


def _check_stamp(path: Path, stamp: dict[str, Any]) -> None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        found = None
    if found == stamp:
        return
    keys = [key for key in stamp if not isinstance(found, dict) or found.get(key) != stamp[key]]
    reason = f"the folder holds a data set made with another {', '.join(keys) or 'version'}. Name another folder, or remove this one."
    raise DataError(reason, file=path)
