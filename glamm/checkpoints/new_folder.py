"""A folder whose files appear at the end, all at once: until then it does not look finished, even if the writer is killed."""

import fcntl
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from glamm.errors import BusyError, CheckpointError, HostError
from glamm.files import final_path, write_text

_UNFINISHED = "unfinished"
"""A folder inside the new one, visible because it may be large. It holds the files, a lock, and the list of the files that are moved out of it."""

_CONTENT, _LOCK, _MOVED = "content", "lock", "moved.json"


@contextmanager
def new_folder(path: Path, *, last: str) -> Iterator[Path]:
    """Write the files of a new folder; if the block fails, nothing is left of them.

    What a killed writer left is removed by the next one.

    Args:
        path: Empty, or to be created. The files are written on its own disk.
        last: The file that appears after all others.

    Yields:
        Where to write.

    Raises:
        CheckpointError: The folder contains files that no writer left there.
        BusyError: Another process is writing into the folder.
    """
    _check_is_new(path)
    unfinished = path / _UNFINISHED
    is_created = not path.exists()
    unfinished.mkdir(parents=True, exist_ok=True)
    with (unfinished / _LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BusyError(
                f"{path}: another command is writing into this folder. Wait for it, or name another folder."
            ) from error
        _check_is_new(path)  # another process may have finished meanwhile
        try:
            _remove_leftovers(path)
            content = unfinished / _CONTENT
            content.mkdir()
            yield content
            _move(content, path, last=last)
        except BaseException:
            _remove_leftovers(path)
            shutil.rmtree(unfinished)
            if is_created:
                path.rmdir()
            raise
        shutil.rmtree(unfinished)


def check_space(folder: Path, num_bytes: int) -> None:
    """Check that the disk of a folder has room for files.

    Raises:
        HostError: It has not.
    """
    free = shutil.disk_usage(folder).free
    if free < num_bytes:
        raise HostError(
            f"{folder}: needs {_gigabytes(num_bytes)}, the disk has {_gigabytes(free)} free. "
            "Free some space, or name a folder on another disk."
        )


def _gigabytes(num_bytes: int) -> str:
    return f"{num_bytes / 1e9:.2f} GB ({num_bytes:,} bytes)"


def _check_is_new(path: Path) -> None:
    if path.exists() and not path.is_dir():
        raise CheckpointError(f"{path}: is not a folder. Name a new folder.")
    others = sorted({entry.name for entry in _entries(path)} - _leftovers(path))
    if others:
        listed = ", ".join(others[:3]) + (", …" if len(others) > 3 else "")
        raise CheckpointError(f"{path}: is not empty ({listed}). Name a new folder.")


def _entries(path: Path) -> list[Path]:
    return list(path.iterdir()) if path.exists() else []


def _leftovers(path: Path) -> set[str]:
    """Names of what killed writers left in a folder."""
    moved = path / _UNFINISHED / _MOVED
    listed: list[str] = json.loads(moved.read_bytes()) if moved.exists() else []
    names = {name for name in listed if not (path / _UNFINISHED / _CONTENT / name).exists()}
    parts = {entry.name for entry in _entries(path) if final_path(entry) is not None}
    return names | parts | {_UNFINISHED}


def _remove_leftovers(path: Path) -> None:
    """Remove everything except the lock; the list of moved files goes after them."""
    for name in sorted(_leftovers(path) - {_UNFINISHED}):
        _remove(path / name)
    for entry in _entries(path / _UNFINISHED):
        if entry.name != _LOCK:
            _remove(entry)


def _remove(entry: Path) -> None:
    if entry.is_dir() and not entry.is_symlink():
        shutil.rmtree(entry)
    else:
        entry.unlink(missing_ok=True)


def _move(content: Path, path: Path, *, last: str) -> None:
    names = sorted(
        (entry.name for entry in content.iterdir()), key=lambda name: (name == last, name)
    )
    write_text(content.parent / _MOVED, json.dumps(names))
    for name in names:
        (content / name).rename(path / name)
