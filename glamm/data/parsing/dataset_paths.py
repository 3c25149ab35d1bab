"""Paths inside a data set: nothing outside its root folder is ever opened."""

import unicodedata
from collections.abc import Sequence
from pathlib import Path

from glamm.errors import DataError

SPLIT_OF_NAME = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
"""Splits by the names that people give them, in small letters."""


def find_file(root: Path, names: Sequence[str]) -> Path | None:
    """The first of several relative paths that is a file below the root, or None.

    A letter with an accent is one character or two: macOS writes the latter, annotation tools often the former. Both
    name the same file.
    """
    paths = (root / spelling for name in names for spelling in _spellings(name))
    return next((path for path in paths if path.is_file()), None)


def _spellings(name: str) -> dict[str, None]:
    """A name as it is, with composed and with decomposed characters; each once, in this order."""
    return dict.fromkeys((name, *(unicodedata.normalize(form, name) for form in ("NFC", "NFD"))))


def find_folder(root: Path, names: Sequence[str]) -> Path | None:
    """The first of several relative paths that is a folder below the root, or None."""
    return next((root / name for name in names if (root / name).is_dir()), None)


def relative(root: Path, path: Path) -> str:
    """The path from the root, with forward slashes; reports name files like this."""
    return path.relative_to(root).as_posix()


def ensure_inside(root: Path, path: Path) -> Path:
    """Return the path if it is inside the root, symbolic links followed.

    Raises:
        DataError: It leads outside the root.
    """
    if not path.resolve().is_relative_to(root.resolve()):
        raise DataError(f"points outside the data set's folder {root}", file=path)
    return path


def resolve_image(root: Path, folders: Sequence[str], name: str) -> Path:
    """Find an image by the name that an annotation gives.

    Args:
        root: Folder of the data set.
        folders: Relative folders that may hold the image, in the order in which they are tried.
        name: Relative path from the annotation; not trusted.

    Raises:
        DataError: The name leads outside the root, or there is no such file.
    """
    path = Path(name.replace("\\", "/"))  # as Windows writes it
    if not name or path.is_absolute() or ".." in path.parts or "\0" in name:
        raise DataError(f"'{name}' is no file name inside the image folder", field="file_name")
    try:
        names = dict.fromkeys((name, path.as_posix()))
        image_path = find_file(root, [f"{folder}/{name}" for name in names for folder in folders])
        if image_path is None and not path.as_posix().isascii():
            image_path = _find_other_form(root, folders, path.parts)
    except OSError as error:  # a name too long for the file system
        raise DataError(f"'{name[:80]}' is no file name: {error.strerror}") from error
    if image_path is None:
        raise DataError(f"there is no image '{name}' in {' or '.join(folders)}", field="file_name")
    if not image_path.resolve().is_relative_to(root.resolve()):
        raise DataError(f"'{name}' is a link that leaves the data set's folder", field="file_name")
    return image_path


def _find_other_form(root: Path, folders: Sequence[str], parts: Sequence[str]) -> Path | None:
    """A file whose name is the same text in another Unicode form: macOS decomposes letters with accents."""
    for folder in folders:
        found = [root / folder]
        for part in parts:
            wanted = unicodedata.normalize("NFC", part)
            found = [
                child
                for parent in found
                if parent.is_dir()
                for child in sorted(parent.iterdir())
                if unicodedata.normalize("NFC", child.name) == wanted
            ]
        files = [path for path in found if path.is_file()]
        if files:
            return files[0]
    return None


def files_of_split(
    root: Path, folders: Sequence[str], pattern: str, split: str
) -> tuple[Path, ...]:
    """Files that match a pattern, each once, in the order of the folders and then of their names.

    A split's files are in `FOLDER/SPLIT`. Files directly in `FOLDER` belong to train.

    Args:
        root: Folder of the data set.
        folders: Relative folders that are searched.
        pattern: Such as `*.json`.
        split: train, val or test.

    Raises:
        DataError: One of the folders is a link that leads outside the root.
    """
    paths: dict[Path, None] = {}  # a dict keeps the order
    for folder in folders:
        for subfolder in (f"{folder}/{split}", *([folder] if split == "train" else [])):
            if (root / subfolder).is_dir():
                paths |= dict.fromkeys(sorted(ensure_inside(root, root / subfolder).glob(pattern)))
    return tuple(path for path in paths if path.is_file())
