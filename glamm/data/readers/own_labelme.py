"""Your own images annotated with LabelMe: a JSON file beside each image.

Files are in the root, in `labelme/`, `annotations/`, `labels/` or `images/`, or in folders named after a split in one of
these.
"""

import base64
import json
import math
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePath, PurePosixPath
from typing import Annotated, TypeAlias, cast

import numpy as np
from pydantic import Field

from glamm.data.parsing import json_fields
from glamm.data.parsing.dataset_paths import (
    ensure_inside,
    files_of_split,
    relative,
    resolve_image,
)
from glamm.data.parsing.image_refs import embedded_image, find_image
from glamm.data.parsing.json_stream import read_json
from glamm.data.parsing.layout import Integer, Items, Layout, Point, Text, parse
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
from glamm.geometry import masks
from glamm.geometry.image_files import header_of
from glamm.geometry.outlines import ellipse, rectangle
from glamm.structures.issue import Issue, IssueLog, Location
from glamm.structures.sample import Frame, ImageRef, Mask
from glamm.typing import Size

_FOLDERS = (".", "labelme", "annotations", "labels", "images")
_NUM_SNIFFED_FILES = 3
_NUM_SNIFFED_BYTES = 1 << 16
_DEFAULT_KIND = "polygon"  # of files before LabelMe 3.7
_NUM_POINTS: dict[str, tuple[int, ...]] = {
    "polygon": (),  # any number
    "rectangle": (2, 4),
    "oriented_rectangle": (4,),
    "rotation": (4,),  # the same in X-AnyLabeling
    "circle": (2,),
    "mask": (2,),
}
"""The kinds of shapes with an area, and how many points they have. Points, lines and others are not supported."""
_MAX_PATCH = 4  # pixels of a mask per pixel of its image; a mask may lie across the edge

XY: TypeAlias = tuple[float, float]


class LabelMeShape(Layout):
    """A shape.

    Points are (x, y) in pixels. A circle has its center and a point on the circle; a rectangle two opposite corners; a
    mask the first and the last pixel of the rectangle that its PNG (in base64) covers.
    """

    label: Text
    points: Items[Point] = ()
    shape_type: object = "polygon"
    group_id: object = None
    mask: Text | None = None


class LabelMeFile(Layout):
    """A file of LabelMe. `image_path` is relative to the folder of the file. Old versions do not state the size."""

    image_height: Annotated[Integer | None, Field(alias="imageHeight")] = None
    image_width: Annotated[Integer | None, Field(alias="imageWidth")] = None
    image_path: Annotated[Text, Field(alias="imagePath")]
    image_data: Annotated[Text | None, Field(alias="imageData")] = None
    shapes: Items[object] = ()

    @property
    def size(self) -> Size | None:
        """(height, width) of the image, or None where the file states neither.

        Raises:
            DataError: Only one is stated, or they are no size in pixels.
        """
        if self.image_height is None and self.image_width is None:
            return None
        return json_fields.size(self.image_height, self.image_width, "imageHeight, imageWidth")


class LabelMeReader:
    """Reads LabelMe's files."""

    name = "labelme"
    splits = ("train", "val", "test")
    frame = Frame.TURNED
    looked_for = (
        'JSON files with "shapes", here, in labelme/, annotations/, labels/ or images/, '
        "or in train/, val/ or test/ of these",
    )

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
        return shapes_record(
            _drawings(content, image_ref.size),
            image_ref,
            issues,
            sample_id=f"{self.name}/{split}/{issues.file}",
            dataset=self.name,
            split=split,
        )


def _sniff(root: Path, split: str) -> bool:
    """Whether one of the first files looks like LabelMe's; `imageData` may come first and be long."""
    try:
        for path in files_of_split(root, _FOLDERS, "*.json", split)[:_NUM_SNIFFED_FILES]:
            with ensure_inside(root, path).open("rb") as file:
                start = file.read(_NUM_SNIFFED_BYTES)
            if b'"shapes"' in start or b'"imageData"' in start:
                return True
    except (DataError, OSError):
        return False
    return False


def _find_image(root: Path, path: Path, content: LabelMeFile, frame: Frame) -> ImageRef:
    """Find the image of a file, or in the file where there is none."""
    folder = path.parent.relative_to(root)
    try:
        name = _image_name(root, folder, content.image_path.replace("\\", "/"))  # from Windows
    except DataError:
        if content.image_data is None:
            raise
        return _embedded_image(root, path, content)
    found = find_image(root, (".",), name, size=content.size, frame=frame)
    return replace(found, key=relative(root, Path(found.path or "")))


def _image_name(root: Path, folder: PurePath, stated: str) -> str:
    """Where `imagePath` says; beside the file, or in `images/`, if they have been moved."""
    try:
        name = _resolve(folder, stated)
        resolve_image(root, (".",), name)
    except DataError as error:
        folders = (folder.as_posix(), f"images/{folder.name}", "images")
        try:
            path = resolve_image(root, folders, PurePosixPath(stated).name)
        except DataError:
            raise error from None
        return relative(root, path)
    return name


def _embedded_image(root: Path, path: Path, content: LabelMeFile) -> ImageRef:
    """LabelMe turns an image before it embeds it, and shows embedded pixels as they are."""
    try:
        header = header_of(embedded_image(content.image_data or ""), suffix="")
    except ValueError as error:
        raise DataError(str(error), field="imageData") from error
    size, frame = content.size or header.size, Frame.STORED
    if not header.has_size(size, frame):
        raise DataError(
            f"is {header.size[0]} x {header.size[1]} (height x width), stated are {size[0]} x {size[1]}",
            field="imageData",
        )
    return ImageRef(key=relative(root, path), size=size, frame=frame, path=str(path))


def _resolve(folder: PurePath, name: str) -> str:
    """The path from the root of a name that is relative to a folder below the root and may contain `..`."""
    parts = list(folder.parts)
    for part in PurePosixPath(name).parts:
        if part != "..":
            parts.append(part)
        elif parts:
            parts.pop()
        else:
            raise DataError(f"'{name[:80]}' leaves the data set's folder", field="imagePath")
    return "/".join(parts)


def _drawings(content: LabelMeFile, size: Size) -> Iterator[Drawing]:
    for index, value in enumerate(content.shapes):
        stated = cast("json_fields.Json", value) if isinstance(value, dict) else {}
        kind, label = stated.get("shape_type") or _DEFAULT_KIND, stated.get("label", "")
        yield Drawing(f"shapes[{index}]", kind, label, partial(_shape, value, size))


def _shape(value: object, size: Size) -> Shape:
    layout = parse(LabelMeShape, value)
    label = layout.label.strip()
    if not label:
        raise DataError("is empty", field="label")
    group = None if layout.group_id is None else json.dumps(layout.group_id)[:80]
    return Shape(label, _mask(layout, size), group)


def _mask(layout: LabelMeShape, size: Size) -> Mask:
    kind = str(layout.shape_type or _DEFAULT_KIND)
    if kind not in _NUM_POINTS:
        raise unsupported("shape_type")
    points, allowed = layout.points, _NUM_POINTS[kind]
    if allowed and len(points) not in allowed:
        expected = " or ".join(map(str, allowed))
        raise DataError(f"must be {expected} points, are {len(points)}", field="points")
    match kind, points:
        case "mask", (first, last):
            return _patch_mask(layout.mask, first, last, size)
        case "circle", (center, on_circle):
            radius = math.dist(center, on_circle)
            outline = ellipse(center, (radius, radius))
        case "rectangle", (corner, opposite):
            outline = rectangle(corner, opposite)
        case _:
            outline = np.array(points, dtype=np.float64)
    return outline_mask(outline, "points", size=size)


def _patch_mask(text: str | None, first: XY, last: XY, size: Size) -> Mask:
    """Place the PNG of a mask; its corners are rounded as LabelMe does, and may be in any order."""
    if text is None:
        raise DataError("is missing", field="mask")
    try:
        patch = masks.from_png(base64.b64decode(text), max_pixels=_MAX_PATCH * size[0] * size[1])
    except ValueError as error:
        raise DataError(str(error), field="mask") from error
    left, right = sorted((first[0], last[0]))
    top, bottom = sorted((first[1], last[1]))
    height, width = bottom - top + 1, right - left + 1
    # a pixel more or less: fractions, or corners of a tool that counts from the edges
    if abs(patch.shape[0] - height) > 1 or abs(patch.shape[1] - width) > 1:
        raise DataError(
            f"is {patch.shape[0]} x {patch.shape[1]} (height x width), its points span {height:g} x {width:g}",
            field="mask",
        )
    return patch_mask(patch, left=round(left), top=round(top), size=size)
