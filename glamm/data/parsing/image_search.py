"""Images that annotations name by a path of another computer, a URL or an upload: found by the end of that path."""

import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from urllib.parse import unquote

from glamm.data.parsing.dataset_paths import ensure_inside, relative
from glamm.errors import DataError

_MAX_LISTED = 4  # files in a message
_UPLOAD_PREFIX = re.compile(r"[0-9a-f]{8}-(?=.)")
"""What Label Studio puts before the name of an uploaded file."""


class ImageSearch:
    """Finds images below a folder by the last parts of the paths that annotations give.

    Args:
        root: Folder of the data set.
        names: All names that the annotations give: two of them must not mean the same image.
        skipped: Names of folders below the root whose images are not meant.
    """

    def __init__(self, root: Path, names: Iterable[str], *, skipped: Sequence[str] = ()) -> None:
        self._root, self._skipped = root, set(skipped)
        self._num_names = Counter(_key(_parts(name)) for name in set(names))

    def find(self, name: str) -> Path | None:
        """The image that a name means; None if there is none.

        Raises:
            DataError: Several images may be meant, other names may mean the same image, or it is outside the root.
        """
        parts = _parts(name)
        key = _key(parts)
        scores = {path: _score(parts, self._parts_of(path)) for path in self._paths.get(key, ())}
        best = max((score for score in scores.values() if score), default=None)
        found = [path for path, score in scores.items() if score == best]
        if best is None:
            return None
        if len(found) > 1:
            listed = ", ".join(relative(self._root, path) for path in found[:_MAX_LISTED])
            raise DataError(
                f"'{name}' may be any of {len(found)} images: {listed}", field="file_name"
            )
        if best[0] < 2 and self._num_names[key] > 1:
            raise DataError(
                f"'{name}' may be {relative(self._root, found[0])}, but so may others of the file's images",
                field="file_name",
            )
        return ensure_inside(self._root, found[0])

    @cached_property
    def _paths(self) -> dict[str, list[Path]]:
        """Files by key, in the order of their paths."""
        paths: dict[str, list[Path]] = defaultdict(list)
        for folder, subfolders, files in os.walk(self._root):
            subfolders[:] = sorted(set(subfolders) - self._skipped)
            for file in sorted(files):
                paths[_key([file])].append(Path(folder, file))
        return paths

    def _parts_of(self, path: Path) -> list[str]:
        return list(path.relative_to(self._root).parts)


def _parts(name: str) -> list[str]:
    """The parts of a path as Windows, Unix or a URL write it, without those that lead upward."""
    path, _, query = name.partition("?")
    if query.startswith("d="):  # Label Studio's links to local files
        path = query[2:]
    elif "://" not in name:
        path = name
    return [part for part in re.split(r"[\\/]+", unquote(path)) if part not in {"", ".", ".."}]


def _key(parts: Sequence[str]) -> str:
    """Equal for all file names that may mean the same image."""
    return _UPLOAD_PREFIX.sub("", _folded(parts[-1]), count=1) if parts else ""


def _folded(part: str) -> str:
    return unicodedata.normalize("NFC", part).casefold()


def _score(wanted: Sequence[str], found: Sequence[str]) -> tuple[int, int] | None:
    """How many parts agree from the end, and how many of these exactly; None for different uploads of one name."""
    num_equal = num_exact = 0
    for one, other in zip(reversed(wanted), reversed(found), strict=False):
        if _folded(one) != _folded(other):
            break
        num_equal += 1
        num_exact += one == other
    if not num_equal and all(_UPLOAD_PREFIX.match(_folded(parts[-1])) for parts in (wanted, found)):
        return None
    return num_equal, num_exact
