"""Objects with class names, drawn by people: what LabelMe, CVAT and COCO instances teach."""

from collections.abc import Sequence
from dataclasses import dataclass

from glamm.data.parsing.coco_segmentation import usable_box
from glamm.data.record import Record
from glamm.errors import DataError
from glamm.geometry import masks
from glamm.structures.issue import Location
from glamm.structures.sample import ImageRef, Mask, Obj, Sample, Target, Task
from glamm.typing import Box


@dataclass(frozen=True, slots=True)
class Shape:
    """One drawn thing.

    Args:
        label: Its class, in words.
        mask: Its pixels.
        group: Shapes of one label and one group are parts of one thing; None for a thing of its own.
    """

    label: str
    mask: Mask
    group: str | None = None


def class_targets(objects: Sequence[Obj]) -> tuple[Target, ...]:
    """A target for every class, meaning all objects whose first label it is."""
    named: dict[str, tuple[int, ...]] = {}
    for obj in objects:
        named[obj.labels[0]] = (*named.get(obj.labels[0], ()), obj.id)
    return tuple(Target(text, ids) for text, ids in named.items())


def shapes_record(
    shapes: Sequence[Shape],
    image_ref: ImageRef,
    location: Location,
    *,
    sample_id: str,
    dataset: str,
    split: str,
) -> Record:
    """A record with one object a thing and one target a class.

    Args:
        shapes: In file order.
        image_ref: That they are drawn on.
        location: Annotation file and record.
        sample_id: Identifies the sample among all data sets.
        dataset: Name of the data set.
        split: train, val or test.

    Raises:
        DataError: There is nothing drawn.
    """
    things: dict[tuple[str, str], list[Mask]] = {}
    for index, shape in enumerate(shapes):
        group = f"alone {index}" if shape.group is None else f"group {shape.group}"
        things.setdefault((shape.label, group), []).append(shape.mask)
    objects: list[Obj] = []
    for (label, _), parts in things.items():
        mask = masks.union(parts)
        box: Box | None = usable_box(None, mask, size=image_ref.size)
        if box is not None:
            objects.append(Obj(id=len(objects), box=box, mask=mask, labels=(label,)))
    if not objects:
        raise DataError("nothing is drawn that can be used")
    sample = Sample(
        sample_id=sample_id,
        task=Task.SEMANTIC_SEGMENTATION,
        dataset=dataset,
        split=split,
        image=image_ref,
        objects=tuple(objects),
        targets=class_targets(objects),
    )
    remarks = {obj.id: {"labels": list(obj.labels)} for obj in objects}
    return Record(location, (sample,), object_remarks=remarks)
