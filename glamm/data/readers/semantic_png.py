"""Images with a PNG of class numbers beside them.

Source: spec of semantic segmentation (B.2.4).
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int32
from PIL import Image

from glamm.data.parsing.dataset_paths import (
    ensure_inside,
    files_of_split,
    find_folder,
    relative,
    resolve_image,
)
from glamm.data.parsing.image_refs import image_header
from glamm.data.readers.labelled_shapes import class_targets
from glamm.data.record import Record
from glamm.errors import DataError
from glamm.geometry import masks
from glamm.structures.issue import Issue, Location
from glamm.structures.sample import ImageRef, Obj, Sample, Task

_MODES = {"1", "L", "P", "I", "I;16", "I;16B", "I;16L"}
_SUFFIXES = (".jpg", ".jpeg", ".png")


@dataclass(frozen=True, slots=True)
class ClassMaps:
    """Where a data set of class maps is.

    Args:
        name: Of the data set.
        labels: Folders that a split's label files may be in, by split.
        images: The same for images.
        classes: Gives the name of every class number, from the root.
        ignored: Numbers that mean no class.
    """

    name: str
    labels: dict[str, tuple[str, ...]]
    images: dict[str, tuple[str, ...]]
    classes: Callable[[Path], dict[int, str]]
    ignored: frozenset[int]

    def is_in(self, root: Path) -> bool:
        """Whether the data set is below a folder."""
        return any(find_folder(root, folders) for folders in self.labels.values())

    def read(self, root: Path, split: str) -> Iterator[Record | Issue]:
        """Yield a record a label file, in the order of their names; a class is one object."""
        folder = find_folder(root, self.labels.get(split, ()))
        if folder is None:
            return
        classes = self.classes(root)
        for path in files_of_split(ensure_inside(root, folder), (".",), "*.png", "train"):
            file = relative(root, path)
            try:
                yield from self._read_map(root, split, path, classes)
            except DataError as error:
                yield Issue.of_record(file, path.stem, error.reason, error.field)

    def _read_map(
        self, root: Path, split: str, path: Path, classes: dict[int, str]
    ) -> Iterator[Record | Issue]:
        file = relative(root, path)
        image_ref = self._image(root, split, path)
        labels = _read_labels(ensure_inside(root, path))
        if not image_header(image_ref).has_frame((labels.shape[0], labels.shape[1])):
            size = image_header(image_ref).size
            raise DataError(
                f"is {labels.shape[0]} x {labels.shape[1]} (height x width), the image is {size[0]} x {size[1]}"
            )
        objects: list[Obj] = []
        shown: list[dict[str, Any]] = []
        for value in (int(value) for value in np.unique(labels)):
            if value in self.ignored:
                continue
            if value not in classes:
                reason = f"there is no class {value}"
                yield Issue.of_part(file, path.stem, reason, "labels")
                continue
            mask = masks.encode(labels == value)
            box = masks.box_of(mask)
            if box is None:
                continue
            text = classes[value]
            objects.append(Obj(id=value, box=box, mask=mask, labels=(text,)))
            code = {"size": list(mask.size), "counts": mask.counts.decode("ascii")}
            area = masks.area(mask)
            shown.append({"text": text, "label_value": value, "area": area, "mask": code})
        sample = Sample(
            sample_id=f"{self.name}/{split}/{path.stem}",
            task=Task.SEMANTIC_SEGMENTATION,
            dataset=self.name,
            split=split,
            image=ImageRef(image_ref.name, (labels.shape[0], labels.shape[1]), path=str(image_ref)),
            objects=tuple(objects),
            targets=class_targets(objects),  # classes that share a name are one target
        )
        told = {"label_file": file, "targets": shown}
        yield Record(Location(file, path.stem), (sample,), remarks=told, hidden=("objects",))

    def _image(self, root: Path, split: str, path: Path) -> Path:
        folders = self.images[split]
        for suffix in _SUFFIXES:
            try:
                return resolve_image(root, folders, path.stem + suffix)
            except DataError as error:
                if suffix == _SUFFIXES[-1] or "link" in error.reason:
                    raise
        raise AssertionError


def _read_labels(path: Path) -> Int32[np.ndarray, "height width"]:
    image_header(path)  # refuses what is no image and what claims to be huge
    try:
        with Image.open(path, formats=("PNG",)) as image:
            if image.mode not in _MODES:
                raise DataError(f"must have one number a pixel, is {image.mode}")
            return np.asarray(image).astype(np.int32)
    except (OSError, SyntaxError, ValueError, EOFError, struct.error) as error:
        raise DataError(f"cannot be decoded: {error}") from error
