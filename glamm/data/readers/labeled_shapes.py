"""Shapes with class names, drawn by people with LabelMe or CVAT: objects and semantic segmentation from them."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from glamm.data.parsing.coco_segmentation import polygon_mask
from glamm.data.parsing.layout import field_path
from glamm.data.record import Record
from glamm.errors import DataError
from glamm.geometry import masks
from glamm.geometry.outlines import Outline
from glamm.structures.issue import IssueLog
from glamm.structures.sample import ImageRef, Mask, Obj, Sample, Target, Task
from glamm.typing import Size

HOLE = "_background_"
"""Label of a shape that is cut out of the shapes before it, as LabelMe's own conversions do."""

IGNORED = "__ignore__"
"""Label of pixels that LabelMe's conversions give no class."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A shape drawn on an image.

    Args:
        label: Name of its class; not empty.
        mask: Its pixels.
        group: Shapes with one label and one group are parts of one object; None is an object of its own.
    """

    label: str
    mask: Mask
    group: str | None = None


@dataclass(frozen=True, slots=True)
class Drawing:
    """A shape as a file has it, not yet checked; for issues, it is known where it is and what it is called.

    Args:
        field: Where it is in its record.
        kind: What it is, as the file says: "polygon", "rectangle" and so on.
        label: Name of its class, as the file has it.
        read: Makes a shape of it, or raises a DataError.
    """

    field: str
    kind: object
    label: object
    read: Callable[[], Shape]


@dataclass(frozen=True, slots=True)
class ShapesRecord:
    """The shapes drawn on an image, in file order."""

    shapes: tuple[Shape, ...]


def usable_shapes(drawings: Iterable[Drawing], issues: IssueLog) -> tuple[Shape, ...]:
    """The shapes that have pixels, in file order; for each other one there is an issue.

    Raises:
        DataError: There are none.
    """
    shapes: list[Shape] = []
    num_drawings = 0
    for drawing in drawings:
        num_drawings += 1
        try:
            shapes.append(_with_pixels(drawing.read()))
        except DataError as error:
            what = f"{str(drawing.kind)[:40]} '{str(drawing.label)[:80]}'"
            issues.add(f"{error.reason} ({what})", field_path(drawing.field, error.field))
    if not num_drawings:
        raise DataError("has no shapes")
    shapes = _with_holes(shapes)
    for shape in shapes:
        if not masks.area(shape.mask):
            issues.add(f"'{HOLE}' cuts out all pixels of '{shape.label[:80]}'", "shapes")
    shapes = [shape for shape in shapes if masks.area(shape.mask)]
    if not shapes:
        raise DataError(f"none of its shapes ({num_drawings}) can be used")
    return tuple(shapes)


def _with_holes(shapes: Sequence[Shape]) -> list[Shape]:
    """The shapes without the holes, which are cut out of those before them."""
    result: list[Shape] = []
    for shape in shapes:
        if shape.label == HOLE:
            result = [replace(s, mask=masks.difference(s.mask, shape.mask)) for s in result]
        else:
            result.append(shape)
    return result


def _with_pixels(shape: Shape) -> Shape:
    if shape.label == IGNORED:
        raise DataError("is no class", field="label")
    if not masks.area(shape.mask):
        raise DataError("covers no pixel of the image")
    return shape


def unsupported(field: str) -> DataError:
    """The error of a shape whose kind is not read: it has no area, or is unknown."""
    return DataError("this kind of shape is not supported", field=field)


def outline_mask(outline: Outline, field: str, *, size: Size) -> Mask:
    """Fill an outline by COCO's rules.

    Args:
        outline: Its corners.
        field: Its name in the file, for errors.
        size: (height, width) of the image.

    Raises:
        DataError: Fewer than three corners, or an outline too long to be drawn.
    """
    return polygon_mask(outline.ravel().tolist(), field, size=size)


def patch_mask(patch: np.ndarray, *, left: int, top: int, size: Size) -> Mask:
    """The pixels of a patch, placed on an image.

    Args:
        patch: Truth values; what lies outside the image is cut off.
        left: x of its first column.
        top: y of its first row.
        size: (height, width) of the image.
    """
    pixels = np.zeros(size, dtype=bool)
    height, width = patch.shape
    rows = slice(max(top, 0), max(top + height, 0))
    columns = slice(max(left, 0), max(left + width, 0))
    inside = pixels[rows, columns]
    first_row, first_column = max(-top, 0), max(-left, 0)
    inside |= patch[first_row:, first_column:][: inside.shape[0], : inside.shape[1]]
    return masks.encode(pixels)


def class_targets(objects: Sequence[Obj]) -> tuple[Target, ...]:
    """One target per class, meaning all objects that have it as their first label."""
    ids_of_class: dict[str, tuple[int, ...]] = {}
    for obj in objects:
        label = obj.labels[0]
        ids_of_class[label] = (*ids_of_class.get(label, ()), obj.id)
    return tuple(Target(label, ids) for label, ids in ids_of_class.items())


def shapes_record(
    drawings: Iterable[Drawing],
    image_ref: ImageRef,
    issues: IssueLog,
    *,
    sample_id: str,
    dataset: str,
    split: str,
) -> Record:
    """A record with one sample for semantic segmentation: one target per class.

    Args:
        drawings: In file order; objects are numbered in the order of their first shapes.
        image_ref: The image on which they are drawn.
        issues: Of the record; gets an issue for every shape that cannot be used.
        sample_id: Identifies the sample among all data sets.
        dataset: Name of the data set.
        split: train, val or test.

    Raises:
        DataError: No shape can be used.
    """
    shapes = usable_shapes(drawings, issues)
    parts_of_object: dict[tuple[str, str], list[Mask]] = {}
    for index, shape in enumerate(shapes):
        group = f"alone {index}" if shape.group is None else f"group {shape.group}"
        parts_of_object.setdefault((shape.label, group), []).append(shape.mask)
    objects: list[Obj] = []
    for (label, _), parts in parts_of_object.items():
        mask = masks.union(parts)
        box = masks.box_of(mask)
        if box is not None:
            objects.append(Obj(id=len(objects), box=box, mask=mask, labels=(label,)))
    sample = Sample(
        sample_id=sample_id,
        task=Task.SEMANTIC_SEGMENTATION,
        dataset=dataset,
        split=split,
        image=image_ref,
        objects=tuple(objects),
        targets=class_targets(objects),
    )
    return Record(issues.location, (sample,), raw=ShapesRecord(shapes))
