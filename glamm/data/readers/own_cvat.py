"""Your own images annotated with CVAT, exported as "CVAT for images 1.1": one XML file.

The file is `annotations.xml`, or any other `.xml` in the root or in `annotations/`. Images are in `images/` or in the
root.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from xml.parsers import expat

import numpy as np

from glamm.data.parsing import json_fields
from glamm.data.parsing.coco_segmentation import polygon_mask
from glamm.data.parsing.dataset_paths import ensure_inside, files_of_split, relative
from glamm.data.parsing.image_refs import find_image
from glamm.data.readers.labeled_shapes import Shape, shapes_record
from glamm.data.record import Record, read_record
from glamm.errors import DataError
from glamm.geometry import masks
from glamm.structures.issue import Issue, IssueLog, Location
from glamm.structures.sample import Frame, Mask
from glamm.typing import Size

_NUM_SNIFFED_BYTES = 1 << 16
_BLOCK_SIZE = 1 << 16  # bytes
_MAX_RUNS = 1_000_000
_SHAPES = {"box", "polygon", "mask", "polyline", "points", "cuboid", "ellipse", "skeleton"}
_SPLIT_OF_SUBSET = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}


@dataclass(frozen=True, slots=True)
class CvatImage:
    """An `<image>` element.

    Args:
        attributes: As in the file.
        shapes: Name and attributes of the elements in it that are shapes.
    """

    attributes: dict[str, str]
    shapes: list[tuple[str, dict[str, str]]] = field(default_factory=list)


class CvatReader:
    """Reads CVAT's XML files."""

    name = "cvat"
    splits = ("train", "val", "test")
    frame = Frame.TURNED

    def exists_in(self, root: Path) -> bool:
        """Whether one of the XML files looks like CVAT's."""
        try:
            return any(_sniff(root, path) for path in _paths(root))
        except (DataError, OSError):
            return False

    def read(self, root: Path, split: str) -> Iterator[Record | Issue]:
        """Yield one record per image. Its split is its subset, or else the name of the file, or else train."""
        for path in _paths(root):
            file = relative(root, ensure_inside(root, path))
            split_of_file = _SPLIT_OF_SUBSET.get(path.stem.lower(), "train")
            for index, image in enumerate(_stream_images(path)):
                subset = image.attributes.get("subset", "").lower()
                if _SPLIT_OF_SUBSET.get(subset, split_of_file) == split:
                    location = Location(file, f"image {image.attributes.get('id', index)}")
                    yield from read_record(location, partial(self._read_image, root, split, image))

    def _read_image(self, root: Path, split: str, image: CvatImage, issues: IssueLog) -> Record:
        size = json_fields.size(
            _whole(image.attributes, "height"), _whole(image.attributes, "width"), "height, width"
        )
        name = json_fields.text(image.attributes.get("name"), "name").replace("\\", "/")
        image_ref = find_image(
            root, ("images", ".", f"images/{split}", split), name, size=size, frame=self.frame
        )
        return shapes_record(
            _shapes(image, size, issues),
            image_ref,
            issues.location,
            sample_id=f"{self.name}/{split}/{issues.file}#{issues.record}",
            dataset=self.name,
            split=split,
        )


def _paths(root: Path) -> tuple[Path, ...]:
    return files_of_split(root, (".", "annotations"), "*.xml", "train")


def _sniff(root: Path, path: Path) -> bool:
    """Whether a file looks like CVAT's."""
    with ensure_inside(root, path).open("rb") as file:
        return b"<annotations" in file.read(_NUM_SNIFFED_BYTES)


def _shapes(image: CvatImage, size: Size, issues: IssueLog) -> list[Shape]:
    """The shapes with an area; for each other one there is an issue."""
    shapes: list[Shape] = []
    for index, (kind, attributes) in enumerate(image.shapes):
        try:
            label = _label(attributes)
            mask = _mask(kind, attributes, size)
            shapes.append(Shape(label, mask, attributes.get("group_id")))
        except DataError as error:
            issues.add(error.reason, f"{kind} {index}.{error.field}")
    return shapes


def _label(attributes: dict[str, str]) -> str:
    label = attributes.get("label", "").strip()
    if not label:
        raise DataError("is empty", field="label")
    return label


def _mask(kind: str, attributes: dict[str, str], size: Size) -> Mask:
    if kind == "box":
        x1, y1, x2, y2 = (_number(attributes, name) for name in ("xtl", "ytl", "xbr", "ybr"))
        return polygon_mask([x1, y1, x2, y1, x2, y2, x1, y2], "box", size=size)
    if kind == "polygon":
        pairs = [point.split(",") for point in attributes.get("points", "").split(";")]
        coordinates = [_to_number(text, "points") for pair in pairs for text in pair]
        return polygon_mask(coordinates, "points", size=size)
    if kind == "mask":
        return _decode_runs(attributes, size)
    raise DataError(f"'{kind}' is no shape with an area", field="label")


def _decode_runs(attributes: dict[str, str], size: Size) -> Mask:
    """Decode run lengths: they cover a rectangle of the image in row-major order, background first."""
    left, top, width, height = (
        _whole(attributes, name) for name in ("left", "top", "width", "height")
    )
    is_inside = left >= 0 and top >= 0 and left + width <= size[1] and top + height <= size[0]
    if not is_inside or min(width, height) < 1:
        raise DataError("is not inside the image", field="left, top, width, height")
    texts = attributes.get("rle", "").split(",")
    if len(texts) > _MAX_RUNS:
        raise DataError(f"has {len(texts)} runs, at most {_MAX_RUNS:,} are read", field="rle")
    runs = [_to_whole(text, "rle") for text in texts]
    if min(runs) < 0 or sum(runs) != width * height:
        raise DataError(
            f"runs add up to {sum(runs)} pixels, the rectangle {height} x {width} has {height * width}",
            field="rle",
        )
    pixels = np.zeros(size, dtype=bool)
    is_foreground = np.arange(len(runs)) % 2 == 1
    rectangle = np.repeat(is_foreground, runs).reshape(height, width)
    pixels[top : top + height, left : left + width] = rectangle
    return masks.encode(pixels)


def _whole(attributes: dict[str, str], name: str) -> int:
    return _to_whole(attributes.get(name, ""), name)


def _number(attributes: dict[str, str], name: str) -> float:
    return _to_number(attributes.get(name, ""), name)


def _to_whole(text: str, name: str) -> int:
    try:
        return json_fields.integer(int(text), name)
    except ValueError as error:
        raise DataError(f"must be a whole number, is '{text[:40]}'", field=name) from error


def _to_number(text: str, name: str) -> float:
    try:
        return json_fields.number(float(text), name)
    except ValueError as error:
        raise DataError(f"must be a number, is '{text[:40]}'", field=name) from error


def _stream_images(path: Path) -> Iterator[CvatImage]:
    """Yield the images while the file is being read.

    Raises:
        DataError: The file cannot be read, is no XML, or has a document type, whose entities could expand without limit
            or refer to other files.
    """
    parser = expat.ParserCreate("utf-8")  # CVAT writes UTF-8, whatever a declaration may state
    complete: list[CvatImage] = []
    unfinished: list[CvatImage] = []

    def start(name: str, attributes: dict[str, str]) -> None:
        if name == "image":
            unfinished.append(CvatImage(attributes))
        elif unfinished and name in _SHAPES:
            unfinished[-1].shapes.append((name, attributes))

    def end(name: str) -> None:
        if name == "image" and unfinished:
            complete.append(unfinished.pop())

    def refuse(*_: object) -> None:
        raise DataError("has a document type (DOCTYPE), which is not read", file=path)

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.StartDoctypeDeclHandler = refuse
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK_SIZE):
                parser.Parse(block)
                yield from complete
                complete.clear()
            parser.Parse(b"", True)  # noqa: FBT003 - the end of the file; expat takes no keyword
    except (expat.ExpatError, LookupError, ValueError) as error:
        raise DataError(f"is not XML: {error}", file=path) from error
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", file=path) from error
