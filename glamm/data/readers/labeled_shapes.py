"""Shapes with class names, drawn by people with LabelMe or CVAT: objects and semantic segmentation from them."""

from collections.abc import Sequence
from dataclasses import dataclass

from glamm.data.record import Record
from glamm.errors import DataError
from glamm.geometry import masks
from glamm.structures.issue import Location
from glamm.structures.sample import ImageRef, Mask, Obj, Sample, Target, Task


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
class ShapesRecord:
    """The shapes drawn on an image, in file order."""

    shapes: tuple[Shape, ...]


def class_targets(objects: Sequence[Obj]) -> tuple[Target, ...]:
    """One target per class, meaning all objects that have it as their first label."""
    ids_of_class: dict[str, tuple[int, ...]] = {}
    for obj in objects:
        label = obj.labels[0]
        ids_of_class[label] = (*ids_of_class.get(label, ()), obj.id)
    return tuple(Target(label, ids) for label, ids in ids_of_class.items())


def shapes_record(
    shapes: Sequence[Shape],
    image_ref: ImageRef,
    location: Location,
    *,
    sample_id: str,
    dataset: str,
    split: str,
) -> Record:
    """A record with one sample for semantic segmentation: one target per class.

    Args:
        shapes: In file order; objects are numbered in the order of their first shapes.
        image_ref: The image on which they are drawn.
        location: Annotation file and record.
        sample_id: Identifies the sample among all data sets.
        dataset: Name of the data set.
        split: train, val or test.

    Raises:
        DataError: No shape has a pixel inside the image.
    """
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
    if not objects:
        raise DataError("no shape covers a pixel of the image")
    sample = Sample(
        sample_id=sample_id,
        task=Task.SEMANTIC_SEGMENTATION,
        dataset=dataset,
        split=split,
        image=image_ref,
        objects=tuple(objects),
        targets=class_targets(objects),
    )
    return Record(location, (sample,), raw=ShapesRecord(tuple(shapes)))
