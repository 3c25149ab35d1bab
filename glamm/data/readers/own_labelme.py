"""Your own images annotated with LabelMe: a JSON file beside each image.

Files are in the root, in `labelme/` or in `annotations/`, or in folders named after a split in one of these.
"""

import json
import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Annotated

import numpy as np
from pydantic import Field

from glamm.data.parsing import json_fields
from glamm.data.parsing.coco_segmentation import polygon_mask
from glamm.data.parsing.dataset_paths import ensure_inside, files_of_split, relative
from glamm.data.parsing.image_refs import find_image
from glamm.data.parsing.json_stream import read_json
from glamm.data.parsing.layout import Integer, Items, Layout, Point, Text, field_path, parse
from glamm.data.readers.labeled_shapes import Shape, shapes_record
from glamm.data.record import Record, read_record
from glamm.errors import DataError
from glamm.structures.issue import Issue, IssueLog, Location
from glamm.structures.sample import Frame, ImageRef, Mask
from glamm.typing import Size

_FOLDERS = (".", "labelme", "annotations")
_NUM_SNIFFED_FILES = 3
_NUM_SNIFFED_BYTES = 1 << 16
_NUM_CIRCLE_POINTS = 64


class LabelMeShape(Layout):
    """A shape. Points are (x, y) in pixels; a circle has its center and a point on the circle."""

    label: Text
    points: Items[Point] = ()
    shape_type: object = "polygon"
    group_id: object = None


class LabelMeFile(Layout):
    """A file of LabelMe. `image_path` is relative to the folder of the file."""

    image_height: Annotated[Integer, Field(alias="imageHeight")]
    image_width: Annotated[Integer, Field(alias="imageWidth")]
    image_path: Annotated[Text, Field(alias="imagePath")]
    shapes: Items[object] = ()

    @property
    def size(self) -> Size:
        """(height, width) of the image.

        Raises:
            DataError: Not a size in pixels.
        """
        return json_fields.size(self.image_height, self.image_width, "imageHeight, imageWidth")


class LabelMeReader:
    """Reads LabelMe's files."""

    name = "labelme"
    splits = ("train", "val", "test")
    frame = Frame.TURNED

    def exists_in(self, root: Path) -> bool:
        """Whether one of the first JSON files of a split is LabelMe's."""
        return any(_sniff(root, split) for split in self.splits)

    def read(self, root: Path, split: str) -> Iterator[Record | Issue]:
        """Yield one record per file. Shapes with one label and one group id are one object."""
        for path in files_of_split(root, _FOLDERS, "*.json", split):
            location = Location(relative(root, path), path.stem)
            yield from read_record(location, partial(self._read_file, root, split, path))

    def _read_file(self, root: Path, split: str, path: Path, issues: IssueLog) -> Record:
        content = parse(LabelMeFile, read_json(ensure_inside(root, path)))
        image_ref = _find_image(root, path, content, self.frame)
        shapes: list[Shape] = []
        for index, value in enumerate(content.shapes):
            try:
                shapes.append(_shape(parse(LabelMeShape, value), image_ref.size))
            except DataError as error:
                issues.add(error.reason, field_path("shapes", index, error.field))
        return shapes_record(
            shapes,
            image_ref,
            Location(issues.file, path.stem),
            sample_id=f"{self.name}/{split}/{issues.file}",
            dataset=self.name,
            split=split,
        )


def _sniff(root: Path, split: str) -> bool:
    """Whether one of the first files looks like LabelMe's."""
    try:
        for path in files_of_split(root, _FOLDERS, "*.json", split)[:_NUM_SNIFFED_FILES]:
            with ensure_inside(root, path).open("rb") as file:
                if b'"shapes"' in file.read(_NUM_SNIFFED_BYTES):
                    return True
    except (DataError, OSError):
        return False
    return False


def _find_image(root: Path, path: Path, content: LabelMeFile, frame: Frame) -> ImageRef:
    """Find the image of a file; its path may contain `..` and, written on Windows, backslashes."""
    name = content.image_path
    parts: list[str] = list(path.parent.relative_to(root).parts)
    for part in PurePosixPath(name.replace("\\", "/")).parts:
        if part != "..":
            parts.append(part)
        elif parts:
            parts.pop()
        else:
            raise DataError(f"'{name[:80]}' leaves the data set's folder", field="imagePath")
    return find_image(root, (".",), "/".join(parts), size=content.size, frame=frame)


def _shape(layout: LabelMeShape, size: Size) -> Shape:
    label = layout.label.strip()
    if not label:
        raise DataError("is empty", field="label")
    group = None if layout.group_id is None else json.dumps(layout.group_id)[:80]
    return Shape(label, _mask(layout, size), group)


def _mask(layout: LabelMeShape, size: Size) -> Mask:
    kind = str(layout.shape_type or "polygon")
    points = list(layout.points)
    if kind == "rectangle" and len(points) == 2:
        (x1, y1), (x2, y2) = points
        points = [(x1, y1), (x2, y1), (x2, y2), (x1, y2)]
    elif kind == "circle" and len(points) == 2:
        (x, y), on_circle = points
        radius = math.dist((x, y), on_circle)
        angles = np.linspace(0, 2 * math.pi, _NUM_CIRCLE_POINTS, endpoint=False)
        points = [(x + radius * math.cos(angle), y + radius * math.sin(angle)) for angle in angles]
    elif kind not in {"polygon", "rectangle"}:
        raise DataError(f"'{kind[:40]}' is no shape with an area", field="shape_type")
    coordinates = [coordinate for point in points for coordinate in point]
    return polygon_mask(coordinates, "points", size=size)
