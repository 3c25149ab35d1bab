"""Files of a data set: nothing outside its root is ever opened."""

from collections.abc import Sequence
from pathlib import Path

from glamm.errors import DataError


def find_file(root: Path, names: Sequence[str]) -> Path | None:
    """The first of several relative paths that exists below the root, or None."""
    return next((root / name for name in names if (root / name).is_file()), None)


def find_folder(root: Path, names: Sequence[str]) -> Path | None:
    """The first of several relative folders that exists below the root, or None."""
    return next((root / name for name in names if (root / name).is_dir()), None)


def relative(root: Path, path: Path) -> str:
    """How a file is named in reports: relative to the root, with forward slashes."""
    return path.relative_to(root).as_posix()


def ensure_inside(root: Path, path: Path) -> Path:
    """Make sure that a file is inside the root, links followed.

    Raises:
        DataError: It is not.
    """
    if not path.resolve().is_relative_to(root.resolve()):
        raise DataError(f"points outside the data set's folder {root}", file=path)
    return path


def resolve_image(root: Path, folders: Sequence[str], name: str) -> Path:
    """Find an image by the name that an annotation gives.

    Args:
        root: Of the data set.
        folders: Relative folders where it may be, tried in order.
        name: From the annotation: not trusted.

    Raises:
        DataError: The name leaves the folder, or there is no such file.
    """
    relative_name = Path(name)
    if not name or relative_name.is_absolute() or ".." in relative_name.parts or "\0" in name:
        raise DataError(f"'{name}' is no file name inside the image folder", field="file_name")
    try:
        found = find_file(root, [f"{folder}/{name}" for folder in folders])
    except OSError as error:  # a name too long for the file system
        raise DataError(f"'{name[:80]}' is no file name: {error.strerror}") from error
    if found is None:
        raise DataError(f"there is no image '{name}' in {' or '.join(folders)}", field="file_name")
    if not found.resolve().is_relative_to(root.resolve()):
        raise DataError(f"'{name}' is a link that leaves the data set's folder", field="file_name")
    return found


def files_of_split(
    root: Path, folders: Sequence[str], pattern: str, split: str
) -> tuple[Path, ...]:
    """Files that fit a pattern: those in folders named after the split, and for train those above them, too.

    Args:
        root: Of the data set.
        folders: Relative folders that are looked into.
        pattern: Such as `*.json`.
        split: train, val or test.

    Raises:
        DataError: One of the folders is a link out of the root.
    """
    found: dict[Path, None] = {}
    for folder in folders:
        for place in (f"{folder}/{split}", *([folder] if split == "train" else [])):
            if (root / place).is_dir():
                found |= dict.fromkeys(sorted(ensure_inside(root, root / place).glob(pattern)))
    return tuple(path for path in found if path.is_file())
