"""Where annotation files of COCO's form lie when they come from people or tools, and which split each one is for.

Known are COCO's own layout and the exports of Roboflow, FiftyOne, Label Studio and CVAT; any other file whose content
looks like COCO's is found too.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path, PurePosixPath

from glamm.data.parsing.dataset_paths import SPLIT_OF_NAME, relative
from glamm.errors import DataError

LOOKED_FOR = (
    "annotations/instances_<split>.json",
    "annotations/captions_<split>.json",
    "<split>/_annotations.coco.json (Roboflow)",
    "labels.json or <split>/labels.json (FiftyOne)",
    "result.json (Label Studio)",
    "annotations/instances_default.json (CVAT)",
    "any other .json with COCO's lists in these folders",
)

_NEUTRAL_WORDS = {
    *("instances", "person", "keypoints", "captions", "annotations", "annotation", "coco"),
    *("labels", "result", "default"),
}
"""Words of file names that tools give to the only file of an export."""

_FOLDERS = {"annotations", "annotation", "labels", "images", "data"}
_SUBSET_OF_NAME = re.compile(r"(?:instances|captions|person_keypoints)_(.+)", re.IGNORECASE)
_YEAR = re.compile(r"(?:19|20)\d\d$")
_COCO_LIST = re.compile(rb'"(?:images|annotations|categories)"\s*:\s*\[')
_NUM_SNIFFED_BYTES = 1 << 16
_MAX_LISTED = 5  # files in a message
_MAX_SNIFFED_FILES = 200  # a folder with more holds a file per image, which is another form


class Content(StrEnum):
    """What a file's name says about its annotations; the first of several kinds is the one that is read."""

    CAPTIONS = "captions"
    INSTANCES = "instances"
    UNNAMED = "unnamed"
    KEYPOINTS = "keypoints"
    STUFF = "stuff"


_RANKS = list(Content)


def split_in_name(name: str) -> str | None:
    """The split that the words of a name mean, such as val for `Validation` or `valid2017`; None if not exactly one."""
    splits = {SPLIT_OF_NAME[word] for word in _words(name) if word in SPLIT_OF_NAME}
    return splits.pop() if len(splits) == 1 else None


@dataclass(frozen=True)
class AnnotationFile:
    """A file that may hold annotations of COCO's form.

    Args:
        root: Folder of the data set.
        path: The file, below it.
    """

    root: Path
    path: Path

    @cached_property
    def file(self) -> str:
        """Path from the root."""
        return relative(self.root, self.path)

    @cached_property
    def split_folder(self) -> str | None:
        """The folder named after a split that holds the file, relative to the root."""
        parts = self.path.parent.relative_to(self.root).parts
        named = [index for index, part in enumerate(parts) if split_in_name(part)]
        return "/".join(parts[: named[-1] + 1]) if named else None

    @cached_property
    def named_split(self) -> str | None:
        """The split in the name of the file, or else in that of its folder."""
        return split_in_name(self.path.stem) or split_in_name(self.split_folder or "")

    @cached_property
    def split(self) -> str:
        """The split that the file is for; train if nothing says so."""
        return self.named_split or "train"

    @cached_property
    def is_unusual(self) -> bool:
        """Whether the file is for training only because its name says nothing known."""
        return self.named_split is None and not set(_words(self.path.stem)) <= _NEUTRAL_WORDS

    @cached_property
    def subset(self) -> str:
        """What tools name the images' folder after."""
        match = _SUBSET_OF_NAME.fullmatch(self.path.stem)
        if match:
            return match[1]
        return self.split_folder.rpartition("/")[2] if self.split_folder else self.path.stem

    @cached_property
    def content(self) -> Content:
        """What the name says about the annotations."""
        words = set(_words(self.path.stem))
        if words & {"captions", "caption"}:
            return Content.CAPTIONS
        named = (Content.INSTANCES, Content.KEYPOINTS, Content.STUFF)
        return next((content for content in named if content.value in words), Content.UNNAMED)

    @cached_property
    def own_folders(self) -> tuple[str, ...]:
        """Existing folders that belong to this file alone, relative to the root."""
        subset = self.subset
        names = [f"images/{subset}", f"data/{subset}", f"{subset}/images", f"{subset}/data", subset]
        if self.split_folder:
            inner = [*names, "data", "images", "."]
            names = [*(f"{self.split_folder}/{name}" for name in inner), *names]
        return self._existing(names)

    @cached_property
    def image_folders(self) -> tuple[str, ...]:
        """Existing folders that may hold the images, relative to the root, the likeliest first."""
        split = self.named_split
        of_split = [f"images/{split}", f"{split}2017", f"{split}", f"images/{split}2017"]
        here = self.path.parent.relative_to(self.root).as_posix()
        names = [*self.own_folders, *(of_split if split else []), "images", "data", here, "."]
        return self._existing(names)

    @cached_property
    def folders_of_others(self) -> tuple[str, ...]:
        """Names of folders below the root that are named after other splits, if the file names its own."""
        if self.named_split is None:
            return ()
        folders = [path for place in _places(self.root) for path in _subfolders(place)]
        splits = {path.name: split_in_name(path.name) for path in folders}
        return tuple(name for name, split in splits.items() if split not in {None, self.split})

    def _existing(self, names: Sequence[str]) -> tuple[str, ...]:
        paths = dict.fromkeys(PurePosixPath(name) for name in names)
        return tuple(path.as_posix() for path in paths if (self.root / path).is_dir())

    @property
    def rank(self) -> tuple[bool, int, int]:
        """Lower is better among the files of one split."""
        usual = [f"{self.content}_{self.split}{year}" for year in ("", "2017")]
        name = self.path.stem
        return (
            self.named_split is None,
            _RANKS.index(self.content),
            usual.index(name) if name in usual else len(usual),
        )


@dataclass(frozen=True, slots=True)
class SplitFiles:
    """The files of one split.

    Args:
        chosen: Those that are read; those with captions come last.
        unread: Others, each with the file that is read instead.
    """

    chosen: tuple[AnnotationFile, ...]
    unread: tuple[tuple[AnnotationFile, AnnotationFile], ...]


def find_annotation_files(root: Path) -> list[AnnotationFile]:
    """All files of COCO's form in the usual places below a folder, in the order of their paths."""
    files: list[AnnotationFile] = []
    for folder in _places(root):
        paths = sorted(folder.glob("*.json"))
        can_sniff = len(paths) <= _MAX_SNIFFED_FILES
        files += [
            AnnotationFile(root, path)
            for path in paths
            if not path.name.startswith(".")
            and path.is_file()
            and (_has_usual_name(path) or (can_sniff and _looks_like_coco(root, path)))
        ]
    return files


def choose_files(files: Sequence[AnnotationFile], split: str) -> SplitFiles:
    """Choose the files that are read for a split.

    Several are read if each has a folder of images of its own. Otherwise the one whose name is the plainest.

    Raises:
        DataError: Nothing tells which of several files is meant.
    """
    of_split = [file for file in files if file.split == split]
    chosen: list[AnnotationFile] = []
    unread: list[tuple[AnnotationFile, AnnotationFile]] = []
    for has_captions in (False, True):
        by_subset: dict[str, list[AnnotationFile]] = defaultdict(list)
        for file in of_split:
            if (file.content is Content.CAPTIONS) == has_captions:
                by_subset[_YEAR.sub("", file.subset.lower())].append(file)
        best = [_best(group, unread) for group in by_subset.values()]
        if len(best) > 1 and not all(file.own_folders for file in best):
            best = [_best(best, unread)]
        chosen += best
    return SplitFiles(tuple(chosen), tuple(unread))


def _best(
    files: Sequence[AnnotationFile], unread: list[tuple[AnnotationFile, AnnotationFile]]
) -> AnnotationFile:
    best = min(files, key=lambda file: file.rank)
    equal = [file.file for file in files if file.rank == best.rank]
    if len(equal) > 1:
        rest = f" and {len(equal) - _MAX_LISTED} more" if len(equal) > _MAX_LISTED else ""
        raise DataError(
            f"{best.split} may be any of {', '.join(equal[:_MAX_LISTED])}{rest}: name the one that is meant "
            f"annotations/instances_{best.split}.json, or move the others away",
            file=best.path,
        )
    unread += [(file, best) for file in files if file is not best]
    return best


def _places(root: Path) -> Iterator[Path]:
    """The root, and the folders below it that usually hold annotations."""
    yield root
    for folder in _subfolders(root):
        if folder.name.lower() in _FOLDERS or split_in_name(folder.name):
            yield folder
            is_inside = folder.resolve().is_relative_to(root.resolve())
            for inner in _subfolders(folder) if is_inside else ():
                if inner.name.lower() in _FOLDERS or split_in_name(inner.name):
                    yield inner


def _subfolders(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.is_dir())
    except OSError:  # no folder, or one that may not be read
        return []


def _has_usual_name(path: Path) -> bool:
    """Whether a file is read even where it is damaged, so that the damage is reported."""
    words = _words(path.stem)
    return words[:1] in (["instances"], ["captions"]) or words == ["annotations", "coco"]


def _looks_like_coco(root: Path, path: Path) -> bool:
    words = set(_words(path.stem))
    has_no_objects = "panoptic" in words or {"image", "info"} <= words
    if has_no_objects or not path.resolve().is_relative_to(root.resolve()):
        return False
    try:
        with path.open("rb") as file:
            return bool(_COCO_LIST.search(file.read(_NUM_SNIFFED_BYTES)))
    except OSError:
        return False


def _words(name: str) -> list[str]:
    return re.findall(r"[a-z]+", name.lower())
