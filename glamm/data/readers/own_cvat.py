"""Your own images drawn upon with CVAT, exported as "CVAT for images 1.1": one XML file.

The file is `annotations.xml` or any other `.xml` in the root or in `annotations/`; images are in `images/` or beside.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

from glamm.data.parsing import json_fields
from glamm.data.parsing.coco_segmentation import polygon_mask
from glamm.data.parsing.dataset_paths import ensure_inside, files_of_split, relative
from glamm.data.parsing.image_refs import find_image
from glamm.data.readers.labelled_shapes import Shape, shapes_record
from glamm.data.record import Record
from glamm.errors import DataError
from glamm.geometry import masks
from glamm.structures.issue import Issue, IssueLog, Location
from glamm.structures.sample import Mask
from glamm.typing import Size

import numpy as np  # isort: skip

NAME = "cvat"
SPLITS = ("train", "val", "test")

_BLOCK = 1 << 16
_FOLDERS = ("images", ".")
_SUBSETS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}  # fmt: skip
_SHAPES = {"box", "polygon", "mask", "polyline", "points", "cuboid", "ellipse", "skeleton"}
_MAX_RUNS = 1_000_000


@dataclass(frozen=True, slots=True)
class _Image:
    """One `<image>` with its shapes: element name and attributes."""

    attributes: dict[str, str]
    shapes: list[tuple[str, dict[str, str]]] = field(default_factory=list)


def _paths(root: Path) -> tuple[Path, ...]:
    return files_of_split(root, (".", "annotations"), "*.xml", "train")


def is_in(root: Path) -> bool:
    """Whether there is one of CVAT's files below a folder: their beginnings are looked at."""
    try:
        return any(_begins_well(root, path) for path in _paths(root))
    except (DataError, OSError):
        return False


def _begins_well(root: Path, path: Path) -> bool:
    with ensure_inside(root, path).open("rb") as file:
        return b"<annotations" in file.read(_BLOCK)


def read(root: Path, split: str) -> Iterator[Record | Issue]:
    """Yield a record an image; the split is the image's subset, else the file's name, else train."""
    for path in _paths(root):
        file = relative(root, ensure_inside(root, path))
        of_file = _SUBSETS.get(path.stem.lower(), "train")
        for index, image in enumerate(_images(path)):
            subset = image.attributes.get("subset", "").lower()
            if _SUBSETS.get(subset, of_file) != split:
                continue
            record = f"image {image.attributes.get('id', index)}"
            issues = IssueLog(file, record)
            try:
                found = _read_image(root, split, image, issues)
            except DataError as error:
                yield from issues
                yield Issue.of_record(file, record, error.reason, error.field)
                continue
            yield from issues
            yield found


def _read_image(root: Path, split: str, image: _Image, issues: IssueLog) -> Record:
    given = image.attributes
    size = json_fields.size(_whole(given, "height"), _whole(given, "width"), "height, width")
    name = json_fields.text(dict(given), "name")
    image_ref = find_image(
        root, (*_FOLDERS, f"images/{split}", split), name.replace("\\", "/"), size=size
    )
    shapes: list[Shape] = []
    for index, (kind, attributes) in enumerate(image.shapes):
        try:
            label = attributes.get("label", "").strip()
            group = attributes.get("group_id")
            shapes.append(Shape(_words(label), _mask(kind, attributes, size), group))
        except DataError as error:
            issues.add(error.reason, f"{kind} {index}.{error.field}")
    location = Location(issues.file, issues.record)
    return shapes_record(
        shapes,
        image_ref,
        location,
        sample_id=f"{NAME}/{split}/{issues.file}#{issues.record}",
        dataset=NAME,
        split=split,
    )


def _words(label: str) -> str:
    if not label:
        raise DataError("has no words", field="label")
    return label


def _mask(kind: str, given: dict[str, str], size: Size) -> Mask:
    if kind == "box":
        x1, y1, x2, y2 = (_number(given, name) for name in ("xtl", "ytl", "xbr", "ybr"))
        return polygon_mask([x1, y1, x2, y1, x2, y2, x1, y2], "box", size=size)
    if kind == "polygon":
        pairs = [point.split(",") for point in given.get("points", "").split(";")]
        numbers = [_to_number(part, "points") for pair in pairs for part in pair]
        return polygon_mask(numbers, "points", size=size)
    if kind == "mask":
        return _runs(given, size)
    raise DataError(f"'{kind}' covers nothing that can be used", field="label")


def _runs(given: dict[str, str], size: Size) -> Mask:
    """Runs of a part of the image, row by row, background first."""
    left, top, width, height = (_whole(given, name) for name in ("left", "top", "width", "height"))
    if min(left, top) < 0 or min(width, height) < 1 or left + width > size[1] or top + height > size[0]:  # fmt: skip
        raise DataError("is not inside the image", field="left, top, width, height")
    texts = given.get("rle", "").split(",")
    if len(texts) > _MAX_RUNS:
        raise DataError(f"has {len(texts)} runs, at most {_MAX_RUNS:,} are read", field="rle")
    runs = [_to_whole(text, "rle") for text in texts]
    if min(runs) < 0 or sum(runs) != width * height:
        raise DataError(
            f"runs add up to {sum(runs)} pixels, the part {height} x {width} needs {height * width}",
            field="rle",
        )
    pixels = np.zeros(size, dtype=bool)
    flat = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    pixels[top : top + height, left : left + width] = flat.reshape(height, width)
    return masks.encode(pixels)


def _whole(given: dict[str, str], name: str) -> int:
    return _to_whole(given.get(name, ""), name)


def _number(given: dict[str, str], name: str) -> float:
    return _to_number(given.get(name, ""), name)


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


def _images(path: Path) -> Iterator[_Image]:
    """Images as they come; a document type is refused, for it can swell or point elsewhere.

    Raises:
        DataError: No XML, with the position.
    """
    parser = expat.ParserCreate("utf-8")  # whatever the file says: CVAT writes nothing else
    ready: list[_Image] = []
    opened: list[_Image] = []

    def start(name: str, attributes: dict[str, str]) -> None:
        if name == "image":
            opened.append(_Image(attributes))
        elif opened and name in _SHAPES:
            opened[-1].shapes.append((name, attributes))

    def end(name: str) -> None:
        if name == "image" and opened:
            ready.append(opened.pop())

    def refuse(*_: object) -> None:
        raise DataError("has a document type (DOCTYPE), which is not read", file=path)

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.StartDoctypeDeclHandler = refuse
    try:
        with path.open("rb") as source:
            while block := source.read(_BLOCK):
                parser.Parse(block)
                yield from ready
                ready.clear()
            parser.Parse(b"", True)  # noqa: FBT003 - the end of the file; expat takes it by place
    except (expat.ExpatError, LookupError, ValueError) as error:
        raise DataError(f"is not XML: {error}", file=path) from error
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", file=path) from error
