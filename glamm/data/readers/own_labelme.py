"""Your own images drawn upon with LabelMe: a JSON file beside each image.

Files lie in the root, in `labelme/` or in `annotations/`, or in folders named after a split in one of these.
"""

import json
import math
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from glamm.data.parsing import json_fields
from glamm.data.parsing.coco_segmentation import polygon_mask
from glamm.data.parsing.dataset_paths import ensure_inside, files_of_split, relative
from glamm.data.parsing.image_refs import find_image
from glamm.data.parsing.json_stream import read_json
from glamm.data.readers.labelled_shapes import Shape, shapes_record
from glamm.data.record import Record
from glamm.errors import DataError
from glamm.structures.issue import Issue, IssueLog, Location
from glamm.structures.sample import ImageRef, Mask
from glamm.typing import Size

NAME = "labelme"
SPLITS = ("train", "val", "test")

_FOLDERS = (".", "labelme", "annotations")
_LOOKED_AT = 3  # files, to tell LabelMe's from others
_BLOCK = 1 << 16
_CIRCLE_POINTS = 64


def is_in(root: Path) -> bool:
    """Whether there are LabelMe's files below a folder: the first ones are looked into."""
    return any(_begins_well(root, split) for split in SPLITS)


def _begins_well(root: Path, split: str) -> bool:
    try:
        for path in files_of_split(root, _FOLDERS, "*.json", split)[:_LOOKED_AT]:
            with ensure_inside(root, path).open("rb") as file:
                if b'"shapes"' in file.read(_BLOCK):
                    return True
    except (DataError, OSError):
        return False
    return False


def read(root: Path, split: str) -> Iterator[Record | Issue]:
    """Yield a record a file; shapes of one label and one group id are one object."""
    for path in files_of_split(root, _FOLDERS, "*.json", split):
        file = relative(root, path)
        issues = IssueLog(file, path.stem)
        try:
            content = json_fields.mapping(read_json(ensure_inside(root, path)), "the file")
            record = _read_file(root, split, path, content, issues)
        except DataError as error:
            yield from issues
            yield Issue.of_record(file, path.stem, error.reason, error.field)
            continue
        yield from issues
        yield record


def _read_file(
    root: Path, split: str, path: Path, content: json_fields.Json, issues: IssueLog
) -> Record:
    size = json_fields.size(
        content.get("imageHeight"), content.get("imageWidth"), "imageHeight, imageWidth"
    )
    image_ref = _image(root, path, json_fields.text(content, "imagePath"), size)
    shapes: list[Shape] = []
    for index, value in enumerate(json_fields.items(content, "shapes")):
        try:
            shapes.append(_shape(json_fields.mapping(value, "shape"), size))
        except DataError as error:
            issues.add(error.reason, f"shapes[{index}].{error.field}")
    return shapes_record(
        shapes,
        image_ref,
        Location(issues.file, issues.record),
        sample_id=f"{NAME}/{split}/{issues.file}",
        dataset=NAME,
        split=split,
    )


def _image(root: Path, path: Path, name: str, size: Size) -> ImageRef:
    """LabelMe names the image from the file's folder, with `..` and with Windows' strokes."""
    parts: list[str] = list(path.parent.relative_to(root).parts)
    for part in PurePosixPath(name.replace("\\", "/")).parts:
        if part != "..":
            parts.append(part)
        elif parts:
            parts.pop()
        else:
            raise DataError(f"'{name[:80]}' leaves the data set's folder", field="imagePath")
    return find_image(root, (".",), "/".join(parts), size=size)


def _shape(shape: json_fields.Json, size: Size) -> Shape:
    label = json_fields.text(shape, "label").strip()
    if not label:
        raise DataError("has no words", field="label")
    group = shape.get("group_id")
    shown = None if group is None else json.dumps(group)[:80]
    return Shape(label, _mask(shape, size), shown)


def _mask(shape: json_fields.Json, size: Size) -> Mask:
    kind = str(shape.get("shape_type") or "polygon")
    points = [_point(value) for value in json_fields.items(shape, "points")]
    if kind == "rectangle" and len(points) == 2:
        (x1, y1), (x2, y2) = points
        points = [(x1, y1), (x2, y1), (x2, y2), (x1, y2)]
    elif kind == "circle" and len(points) == 2:
        (x, y), on_edge = points
        radius = math.dist((x, y), on_edge)
        turns = np.linspace(0, 2 * math.pi, _CIRCLE_POINTS, endpoint=False)
        points = [(x + radius * math.cos(turn), y + radius * math.sin(turn)) for turn in turns]
    elif kind not in {"polygon", "rectangle"}:
        raise DataError(f"'{kind[:40]}' covers nothing that can be used", field="shape_type")
    return polygon_mask([number for point in points for number in point], "points", size=size)


def _point(value: Any) -> tuple[float, float]:  # noqa: ANN401 - JSON is any
    if not isinstance(value, list) or len(value) != 2:
        raise DataError("must be pairs of numbers", field="points")
    return json_fields.number(value[0], "points"), json_fields.number(value[1], "points")
