"""Files of a data set, and the output folder that contains nothing else."""

import json
import pickle  # noqa: TID251 - it is written, never read
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from glamm.errors import DataError
from glamm.files import final_path, write_bytes

STAMP = ".parameters.json"


def write_json(path: Path, value: Any) -> None:  # noqa: ANN401 - any JSON
    """Write JSON on one line, whole or not at all."""
    write_bytes(path, json.dumps(value, ensure_ascii=False).encode())


def write_pickle(path: Path, value: Any) -> None:  # noqa: ANN401 - any JSON
    """Write plain values as a pickle, which RefCOCO's own tools read; equal values give equal bytes."""
    # a pickle refers to an object that it has already written: through JSON, equal values are always separate objects
    plain = json.loads(json.dumps(value))
    write_bytes(path, pickle.dumps(plain, protocol=2))


def claim_output_dir(folder: Path, *, stamp: dict[str, Any], expected: Iterable[str]) -> None:
    """Create the folder of a data set, or accept one that a run with the same parameters began.

    Args:
        folder: The output folder.
        stamp: All values that decide the data set's bytes.
        expected: Paths of all its files, relative to the folder.

    Raises:
        DataError: The folder contains a data set made with other parameters, or files that are not part of this one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = set(expected) | {STAMP}
    stamp_path = folder / STAMP
    if stamp_path.exists():
        _check_stamp(stamp_path, stamp)
    for path in sorted(folder.rglob("*")):
        if path.is_dir():
            continue
        unfinished = final_path(path.relative_to(folder))
        if unfinished is not None and unfinished.as_posix() in names:
            path.unlink()  # left by a run that was killed
        elif path.relative_to(folder).as_posix() not in names or not stamp_path.exists():
            raise DataError(
                f"is not part of the data set that is to be written into {folder}. Name an empty folder, or remove "
                "what is in this one.",
                file=path,
            )
    write_json(stamp_path, stamp)


def _check_stamp(path: Path, stamp: dict[str, Any]) -> None:
    try:
        existing = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        existing = None
    if existing == stamp:
        return
    keys = [
        key for key in stamp if not isinstance(existing, dict) or existing.get(key) != stamp[key]
    ]
    raise DataError(
        f"the folder contains a data set made with different parameters ({', '.join(keys) or 'removed ones'}). Name "
        "another folder, or remove this one.",
        file=path,
    )
