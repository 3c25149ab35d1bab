"""Your own images annotated with CVAT, exported as "CVAT for images 1.1": one XML file for a task or a project.

The file is `annotations.xml`, or any other `.xml`, in the root, in `annotations/` or in a folder named after a split;
several exports have a folder each, with an `annotations.xml`.
Images are in `images/`, as CVAT writes them: `images/NAME` for a task, `images/SUBSET/NAME` for a project. They may also
be beside the file.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from glamm.data.parsing import json_fields
from glamm.data.parsing.coco_segmentation import polygon_mask
from glamm.data.parsing.cvat_xml import CvatImage, number, stream_images, to_number, to_whole, whole
from glamm.data.parsing.dataset_paths import (
    SPLIT_OF_NAME,
    ensure_inside,
    files_of_split,
    relative,
    resolve_image,
)
from glamm.data.parsing.image_refs import find_image
from glamm.data.readers.labeled_shapes import (
    Drawing,
    Shape,
    outline_mask,
    patch_mask,
    shapes_record,
    unsupported,
)
from glamm.data.record import Record, read_record
from glamm.errors import DataError
from glamm.geometry.outlines import ellipse, rectangle, turned
from glamm.structures.issue import Issue, IssueLog, Location
from glamm.structures.sample import Frame, ImageRef, Mask
from glamm.typing import Size

_NUM_SNIFFED_BYTES = 1 << 16
_MAX_RUNS = 1_000_000
_SUFFIXES = ("", ".PNG", ".png", ".jpg", ".jpeg")
"""CVAT names the frames of a video without the suffix of the files that it writes, which is `.PNG`."""


class CvatReader:
    """Reads CVAT's XML files.

    The image is turned as EXIF asks before people draw on it, since CVAT 2.1.
    """

    name = "cvat"
    splits = ("train", "val", "test")
    frame = Frame.TURNED
    looked_for = (
        "annotations.xml, here or in any folder",
        "other XML files with <annotations>, here, in annotations/ or in train/, val/ or test/",
    )

    def exists_in(self, root: Path) -> bool:
        """Whether one of the XML files looks like CVAT's."""
        try:
            return bool(self._files(root))
        except (DataError, OSError):
            return False

    def read(self, root: Path, split: str) -> Iterator[Record | Issue]:
        """Yield one record per image. Its split is its subset, or else the name of the file or folder, or else train."""
        for path, split_of_file in self._files(root).items():
            file = relative(root, path)
            try:
                for index, image in enumerate(stream_images(path)):
                    if SPLIT_OF_NAME.get(image.subset.lower(), split_of_file) == split:
                        location = Location(file, _record_name(image, index))
                        read = partial(self._read_image, root, split, path.parent, image)
                        yield from read_record(location, read)
            except DataError as error:  # the other files are read
                yield Issue.of_file(file, split, error.reason)

    def _files(self, root: Path) -> dict[Path, str]:
        """CVAT's files, each with the split of those of its images that state none."""
        split_of_file: dict[Path, str] = {}
        for split in self.splits:
            for path in files_of_split(root, (".", "annotations"), "*.xml", split):
                split_of_file[path] = SPLIT_OF_NAME.get(path.stem.lower(), split)
        for path in sorted(root.glob("*/annotations.xml")):
            split_of_folder = SPLIT_OF_NAME.get(path.parent.name.lower(), "train")
            split_of_file.setdefault(path, split_of_folder)
        return {
            path: split
            for path, split in split_of_file.items()
            if _is_cvat(ensure_inside(root, path))
        }

    def _read_image(
        self, root: Path, split: str, folder: Path, image: CvatImage, issues: IssueLog
    ) -> Record:
        image_ref = self._find_image(root, split, folder, image)
        return shapes_record(
            _drawings(image, image_ref.size),
            image_ref,
            issues,
            sample_id=f"{self.name}/{split}/{issues.file}#{issues.record}",
            dataset=self.name,
            split=split,
        )

    def _find_image(self, root: Path, split: str, folder: Path, image: CvatImage) -> ImageRef:
        """Find the image of an element; images of one name in two subsets are told apart by their folders."""
        name = json_fields.text(image.attributes.get("name"), "name").replace("\\", "/")
        bases = dict.fromkeys((relative(root, folder), "."))
        folders = [
            f"{base}/{images}" for base in bases for images in _image_folders(image.subset, split)
        ]
        written = _written_name(root, folders, name)
        found = find_image(root, folders, written, size=image.size, frame=self.frame)
        return replace(found, key=(folder.relative_to(root) / image.subset / written).as_posix())


def _written_name(root: Path, folders: list[str], name: str) -> str:
    """The name of an image with the suffix of its file, or as stated if there is none."""
    for suffix in _SUFFIXES:
        try:
            resolve_image(root, folders, f"{name}{suffix}")
        except DataError:
            continue
        return f"{name}{suffix}"
    return name


def _is_cvat(path: Path) -> bool:
    """Whether a file looks like CVAT's."""
    with path.open("rb") as file:
        return b"<annotations" in file.read(_NUM_SNIFFED_BYTES)


def _record_name(image: CvatImage, index: int) -> str:
    """In a project, every task counts its images from 0."""
    name = f"image {image.attributes.get('id', index)}"
    task = image.attributes.get("task_id")
    return f"task {task} {name}" if task else name


def _image_folders(subset: str, split: str) -> list[str]:
    """Relative folders that may hold an image, in the order in which they are tried."""
    if not subset:
        return ["images", ".", "images/default", f"images/{split}", split]
    names = [subset]
    if subset.lower() in SPLIT_OF_NAME:  # another subset's folder is never tried
        names.append(split)
    return [*(f"images/{name}" for name in names), *names, "images", "."]


def _drawings(image: CvatImage, size: Size) -> Iterator[Drawing]:
    for index, (kind, attributes) in enumerate(image.shapes):
        read = partial(_shape, kind, attributes, size)
        yield Drawing(f"{kind} {index}", kind, attributes.get("label", ""), read)


def _shape(kind: str, attributes: dict[str, str], size: Size) -> Shape:
    if kind not in _MASK_OF_KIND:
        raise unsupported("")
    label = attributes.get("label", "").strip()
    if not label:
        raise DataError("is empty", field="label")
    if attributes.get("outside") == "1":
        raise DataError("is not in this image", field="outside")
    group = attributes.get("group_id", "").strip()
    mask = _MASK_OF_KIND[kind](attributes, size)
    return Shape(label, mask, None if group in {"", "0"} else group)


def _box_mask(attributes: dict[str, str], size: Size) -> Mask:
    x1, y1, x2, y2 = (number(attributes, name) for name in ("xtl", "ytl", "xbr", "ybr"))
    outline = turned(rectangle((x1, y1), (x2, y2)), _rotation(attributes))
    return outline_mask(outline, "xtl, ytl, xbr, ybr", size=size)


def _ellipse_mask(attributes: dict[str, str], size: Size) -> Mask:
    x, y, radius_x, radius_y = (number(attributes, name) for name in ("cx", "cy", "rx", "ry"))
    outline = turned(ellipse((x, y), (radius_x, radius_y)), _rotation(attributes))
    return outline_mask(outline, "cx, cy, rx, ry", size=size)


def _rotation(attributes: dict[str, str]) -> float:
    """Degrees, clockwise, about the middle of the shape."""
    return number(attributes, "rotation") if "rotation" in attributes else 0.0


def _polygon_mask(attributes: dict[str, str], size: Size) -> Mask:
    pairs = [point.split(",") for point in attributes.get("points", "").strip("; ").split(";")]
    coordinates = [to_number(text, "points") for pair in pairs for text in pair]
    return polygon_mask(coordinates, "points", size=size)


def _decode_runs(attributes: dict[str, str], size: Size) -> Mask:
    """Decode run lengths: they cover a rectangle of the image in row-major order, background first."""
    left, top, width, height = (
        whole(attributes, name) for name in ("left", "top", "width", "height")
    )
    is_inside = left >= 0 and top >= 0 and left + width <= size[1] and top + height <= size[0]
    if not is_inside or min(width, height) < 1:
        raise DataError("is not inside the image", field="left, top, width, height")
    texts = attributes.get("rle", "").split(",")
    if len(texts) > _MAX_RUNS:
        raise DataError(f"has {len(texts)} runs, at most {_MAX_RUNS:,} are read", field="rle")
    runs = [to_whole(text, "rle") for text in texts]
    if min(runs) < 0 or sum(runs) != width * height:
        raise DataError(
            f"runs add up to {sum(runs)} pixels, the rectangle {height} x {width} has {height * width}",
            field="rle",
        )
    is_foreground = np.arange(len(runs)) % 2 == 1
    patch = np.repeat(is_foreground, runs).reshape(height, width)
    return patch_mask(patch, left=left, top=top, size=size)


_MASK_OF_KIND = {
    "box": _box_mask,
    "ellipse": _ellipse_mask,
    "polygon": _polygon_mask,
    "mask": _decode_runs,
}
"""By the name of an element. Skeletons, points, polylines, cuboids and tags have no area."""
