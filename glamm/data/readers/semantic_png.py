"""Images with label maps: PNG files with a class number per pixel. ADE20K, COCO-Stuff and Mapillary Vistas.

Source: spec of semantic segmentation (B.2.4).
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Int32
from PIL import Image

from glamm.data.parsing.class_names import ADE20K, COCO_STUFF
from glamm.data.parsing.dataset_paths import (
    ensure_inside,
    files_of_split,
    find_file,
    find_folder,
    find_image_path,
    is_hidden,
    relative,
)
from glamm.data.parsing.image_refs import image_header
from glamm.data.parsing.json_stream import read_json
from glamm.data.parsing.layout import Items, Layout, Text, parse
from glamm.data.readers.labeled_shapes import class_targets
from glamm.data.record import Record, read_record
from glamm.errors import DataError
from glamm.geometry import masks
from glamm.geometry.image_files import UNREADABLE
from glamm.structures.issue import Issue, IssueLog, Location
from glamm.structures.sample import Frame, ImageRef, Obj, Sample, Task

_LABEL_MODES = {"1", "L", "P", "I", "I;16", "I;16B", "I;16L"}
_COLOR_MODES = {"LA", "PA", "RGB", "RGBA"}
_IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
_MAPILLARY_CONFIGS = (
    "mapillary/config_v2.0.json",
    "Semantic_Segm/mapillary/config_v2.0.json",
)


@dataclass(frozen=True, slots=True)
class LabelMap:
    """The label map of a record.

    Args:
        file: Path from the data set's root.
    """

    file: str


@dataclass(frozen=True, slots=True)
class SemanticPngReader:
    """Reads a data set of label maps.

    Args:
        name: Name of the data set.
        labels: By split, the relative folders that may hold the label maps.
        images: By split, the relative folders that may hold the images.
        classes: Returns the name of every class number; called with the root.
        ignored: Numbers that mean no class, or a class that is left out.
    """

    name: str
    labels: Mapping[str, tuple[str, ...]]
    images: Mapping[str, tuple[str, ...]]
    classes: Callable[[Path], dict[int, str]]
    ignored: frozenset[int]

    frame = Frame.BY_SIZE

    @property
    def splits(self) -> tuple[str, ...]:
        """Those that have a folder."""
        return tuple(self.labels)

    @property
    def looked_for(self) -> tuple[str, ...]:
        """What makes the data set exist in a folder."""
        return tuple(f"{folder}/" for folders in self.labels.values() for folder in folders)

    def exists_in(self, root: Path) -> bool:
        """Whether the label maps of a split are below a folder."""
        return any(find_folder(root, folders) for folders in self.labels.values())

    def read(self, root: Path, split: str) -> Iterator[Record | Issue]:
        """Yield one record per label map, in the order of their names; a class is one object."""
        folder = find_folder(root, self.labels.get(split, ()))
        if folder is None:
            return
        classes = self.classes(root)
        label_maps = files_of_split(ensure_inside(root, folder), (".",), "*.[pP][nN][gG]", "train")
        yield from self._without_label_map(root, split, folder, {path.stem for path in label_maps})
        for path in label_maps:
            location = Location(relative(root, path), path.stem)
            yield from read_record(location, partial(self._read_map, root, split, path, classes))

    def _without_label_map(
        self, root: Path, split: str, folder: Path, known: set[str]
    ) -> Iterator[Issue]:
        """An issue for every image of the split that has no label map."""
        images = find_folder(root, self.images[split])
        if images is None:
            return
        for path in sorted(ensure_inside(root, images).iterdir()):
            is_image = path.suffix.lower() in _IMAGE_SUFFIXES and not is_hidden(path)
            if is_image and path.stem not in known:
                reason = f"has no label map in {relative(root, folder)}"
                yield Issue.of_record(relative(root, path), path.stem, reason)

    def _read_map(
        self, root: Path, split: str, path: Path, classes: dict[int, str], issues: IssueLog
    ) -> Record:
        image_path = self._find_image(root, split, path)
        labels = _read_labels(ensure_inside(root, path))
        size = (labels.shape[0], labels.shape[1])
        header = image_header(image_path)
        if not header.has_size(size, self.frame):
            raise DataError(
                f"is {size[0]} x {size[1]} (height x width), "
                f"the image is {header.size[0]} x {header.size[1]}"
            )
        objects = tuple(self._objects(labels, classes, issues))
        if not objects:
            issues.add("has no pixel with a class", "labels")
        sample = Sample(
            sample_id=f"{self.name}/{split}/{path.stem}",
            task=Task.SEMANTIC_SEGMENTATION,
            dataset=self.name,
            split=split,
            image=ImageRef(image_path.name, size, self.frame, path=str(image_path)),
            objects=objects,
            targets=class_targets(objects),  # classes with the same name are one target
        )
        return Record(Location(issues.file, path.stem), (sample,), raw=LabelMap(issues.file))

    def _objects(
        self, labels: Int32[np.ndarray, "height width"], classes: dict[int, str], issues: IssueLog
    ) -> Iterator[Obj]:
        for number in np.unique(labels).tolist():
            if number in self.ignored:
                continue
            if number not in classes:
                issues.add(f"there is no class {number}", "labels")
                continue
            mask = masks.encode(labels == number)
            box = masks.box_of(mask)
            if box is not None:
                yield Obj(id=number, box=box, mask=mask, labels=(classes[number],))

    def _find_image(self, root: Path, split: str, path: Path) -> Path:
        names = [path.stem + suffix for suffix in _IMAGE_SUFFIXES]
        for name in names:
            if found := find_image_path(root, self.images[split], name):
                return found
        folders = " or ".join(self.images[split])
        raise DataError(f"there is no image {' or '.join(names)} in {folders}", field="file_name")


def ade20k_classes(_root: Path) -> dict[int, str]:
    """ADE20K's 150 classes of the scene parsing challenge, numbered from 1."""
    return dict(enumerate(ADE20K, start=1))


def coco_stuff_classes(_root: Path) -> dict[int, str]:
    """COCO-Stuff's 182 classes of things and stuff, numbered from 0."""
    return dict(enumerate(COCO_STUFF))


COCO_STUFF_HYPHENATED = frozenset(number for number, name in enumerate(COCO_STUFF) if "-" in name)
"""Classes with a hyphen in their name, which the release leaves out."""


class MapillaryClass(Layout):
    """A class of Mapillary Vistas; its number is its index in the list."""

    readable: Text


class MapillaryConfig(Layout):
    """`config_v2.0.json` of Mapillary Vistas."""

    labels: Items[object] = ()


def mapillary_classes(root: Path) -> dict[int, str]:
    """The classes of Mapillary Vistas 2.0 from its configuration file, in lower case; entries without a name are none.

    Raises:
        DataError: The file is missing or invalid, or names no class.
    """
    path = find_file(root, _MAPILLARY_CONFIGS)
    if path is None:
        raise DataError(
            f"is missing below {root}: it names the classes", file=_MAPILLARY_CONFIGS[0]
        )
    file = relative(root, ensure_inside(root, path))
    try:
        config = parse(MapillaryConfig, read_json(path))
    except DataError as error:
        raise DataError(error.reason, file=file, field=error.field) from error
    classes: dict[int, str] = {}
    for number, entry in enumerate(config.labels):
        with suppress(
            DataError
        ):  # the label maps that use its number say that there is no such class
            if name := parse(MapillaryClass, entry).readable.strip():
                classes[number] = name.lower()
    if not classes:
        raise DataError("names no class", file=file, field="labels")
    return classes


def _read_labels(path: Path) -> Int32[np.ndarray, "height width"]:
    image_header(path)  # refuses files that are no image, or state too many pixels
    try:
        with Image.open(path, formats=("PNG",)) as image:
            values = np.asarray(_one_band(image))
            return values.astype(np.int32)
    except UNREADABLE as error:
        raise DataError(f"cannot be decoded: {error}") from error


def _one_band(image: Image.Image) -> Image.Image:
    """The band with the numbers; in a color image all bands but alpha must have the same ones."""
    if image.mode in _LABEL_MODES:
        return image
    bands = zip(image.getbands(), image.split(), strict=True)
    first, *others = [band for name, band in bands if name != "A"]
    has_numbers = first.mode in _LABEL_MODES and image.mode in _COLOR_MODES
    if not has_numbers or any(band.tobytes() != first.tobytes() for band in others):
        raise DataError(f"must have one number per pixel, its mode is {image.mode}")
    return first
