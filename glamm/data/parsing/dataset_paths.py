"""Paths inside a data set: nothing outside its root folder is ever opened."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from urllib.parse import unquote

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

_SUFFIXES = (".jpg", ".jpeg", ".png")
"""Of images whose names lack one."""

_URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_BEFORE_PATH = re.compile(r"(?:[a-z][a-z0-9+.-]+://|[a-z]:)?/*", re.IGNORECASE)
"""What precedes a relative path: the scheme of a URL, the drive of Windows, the root."""


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


def resolve_image(root: Path, folders: Sequence[str], name: str, *, by_end: bool = False) -> Path:
    """Find an image by the name that an annotation gives.

    The exact name is preferred. Otherwise the separators may be those of Windows, the letters composed or decomposed,
    and the suffix in capitals or not, or missing.

    Args:
        root: Folder of the data set.
        folders: Relative folders that may hold the image, in the order in which they are tried.
        name: Relative path from the annotation; not trusted.
        by_end: Also accept a URL, a path of another computer, and a path that begins with folders that are not there:
            the longest end of it that is a file. For published data sets, where no two images have the same name.

    Raises:
        DataError: The name leads outside the root, or there is no such file.
    """
    path = find_image_path(root, folders, name, by_end=by_end)
    if path is None:
        raise DataError(f"there is no image '{name}' in {' or '.join(folders)}", field="file_name")
    return path


def find_image_path(
    root: Path, folders: Sequence[str], name: str, *, by_end: bool = False
) -> Path | None:
    """As `resolve_image`, but None where there is no such file.

    Raises:
        DataError: The name leads outside the root.
    """
    path = _plain_path(name) if by_end else Path(name.replace("\\", "/"))
    if not name.strip() or path.is_absolute() or ".." in path.parts or "\0" in name:
        raise DataError(f"'{name}' is no file name inside the image folder", field="file_name")
    ends = [Path(*path.parts[start:]) for start in range(len(path.parts) if by_end else 1)]
    try:
        image_path = find_file(root, [f"{folder}/{name}" for folder in folders])
        for end in ends:
            image_path = image_path or _find_other_form(root, folders, end)
    except OSError as error:  # a name too long for the file system
        raise DataError(f"'{name[:80]}' is no file name: {error.strerror}") from error
    if image_path and not image_path.resolve().is_relative_to(root.resolve()):
        raise DataError(f"'{name}' is a link that leaves the data set's folder", field="file_name")
    return image_path


def _plain_path(name: str) -> Path:
    """A relative path without what precedes it in a URL, or in a path of another computer."""
    path = name.strip().replace("\\", "/")
    if _URL.match(path):
        path = unquote(path.partition("?")[0].partition("#")[0])
    return Path(_BEFORE_PATH.sub("", path, count=1))


def _find_other_form(root: Path, folders: Sequence[str], path: Path) -> Path | None:
    """A file whose path is the same text in another Unicode form, or with another suffix of the same meaning."""
    suffixes = dict.fromkeys((path.suffix, path.suffix.lower(), path.suffix.upper()))
    if not path.suffix:
        suffixes |= dict.fromkeys(_SUFFIXES)
    names = [path.with_suffix(suffix).as_posix() for suffix in suffixes] if path.name else []
    found = find_file(root, [f"{folder}/{name}" for name in names for folder in folders])
    if found or path.as_posix().isascii():
        return found
    files = (file for folder in folders for file in _of_any_form(root / folder, path))
    return next(files, None)


def _of_any_form(folder: Path, path: Path) -> Iterator[Path]:
    """The files that a path means; macOS decomposes letters with accents, and its parts may have several forms."""
    parents = [folder]
    for part in path.parts:
        wanted = unicodedata.normalize("NFC", part)
        parents = [
            parent / child
            for parent in parents
            if parent.is_dir()
            for child in _composed_names(parent, parent.stat().st_mtime_ns).get(wanted, ())
        ]
    return (file for file in parents if file.is_file())


@lru_cache(maxsize=16)
def _composed_names(folder: Path, _time_of_change: int) -> dict[str, list[str]]:
    """The names in a folder by their composed forms."""
    names: dict[str, list[str]] = defaultdict(list)
    for path in sorted(folder.iterdir()):
        names[unicodedata.normalize("NFC", path.name)].append(path.name)
    return names


def files_of_split(
    root: Path, folders: Sequence[str], pattern: str, split: str
) -> tuple[Path, ...]:
    """Files that match a pattern, each once, in the order of the folders and then of their names.

    A split's files are in `FOLDER/SPLIT`. Files directly in `FOLDER` belong to train. Hidden files are not listed: macOS
    puts one beside every file on disks of other systems.

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
    return tuple(path for path in paths if path.is_file() and not is_hidden(path))


def is_hidden(path: Path) -> bool:
    """Whether the name of a file begins with a dot."""
    return path.name.startswith(".")
