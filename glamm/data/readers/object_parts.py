"""Objects and parts of objects as masks in COCO's form: PACO-LVIS and Pascal-Part.

Source: spec of semantic segmentation (B.2.4). The release's readers of these data sets crash.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from glamm.data.parsing import json_fields
from glamm.data.parsing.coco_json import CocoFile, CocoInstance, Key
from glamm.data.parsing.coco_segmentation import parse_segmentation, usable_box
from glamm.data.parsing.layout import parse
from glamm.data.readers.coco_reader import CocoReader
from glamm.data.record import Record
from glamm.errors import DataError
from glamm.structures.issue import IssueLog
from glamm.structures.sample import ImageRef, Obj, Sample, Target, Task


@dataclass(frozen=True, slots=True)
class ObjectPartsRecord:
    """The objects and parts of an image, with the boxes of the file."""

    objects: tuple[Obj, ...]


@dataclass(frozen=True, slots=True)
class ObjectPartsReader(CocoReader):
    """Reads objects and parts: an annotation is an object, and both ways to name a part are targets.

    Args:
        clean_name: Turns the name of an object or a part into words.
    """

    clean_name: Callable[[str], str] = str

    def _read_image(
        self, root: Path, split: str, content: CocoFile, image_id: Key, issues: IssueLog
    ) -> Record:
        if image_id not in content.annotations:
            raise DataError("no annotation")
        image_ref = content.find_image(root, self.images, image_id, frame=self.frame)
        pairs: list[tuple[Obj, Obj]] = []
        for annotation in content.annotations[image_id]:
            try:
                pairs.append(_read_object(annotation, content, image_ref, issues))
            except DataError as error:
                issues.add(error.reason, error.field, record=f"annotation {annotation['id']}")
        if not pairs:
            raise DataError("none of its annotations can be used")
        in_file, objects = zip(*pairs, strict=True)
        sample = Sample(
            sample_id=f"{self.name}/{split}/{image_id}",
            task=Task.SEMANTIC_SEGMENTATION,
            dataset=self.name,
            split=split,
            image=image_ref,
            objects=objects,
            targets=tuple(
                Target(text, (obj.id,)) for obj in objects for text in self._texts(obj.labels[0])
            ),
        )
        return Record(issues.location, (sample,), raw=ObjectPartsRecord(in_file))

    def _texts(self, category: str) -> list[str]:
        """Texts for a category: `mug:handle` is "mug handle" and "the handle of the mug"."""
        name, _, part = category.partition(":")
        name, part = self.clean_name(name).strip(), self.clean_name(part).strip()
        return [f"{name} {part}", f"the {part} of the {name}"] if part else [name]


def without_sense(name: str) -> str:
    """A name of LVIS without the note that tells its senses apart: `bow_(weapon)` is "bow"."""
    return name.partition("_(")[0]


def _read_object(
    annotation: json_fields.Json, content: CocoFile, image_ref: ImageRef, issues: IssueLog
) -> tuple[Obj, Obj]:
    """An object with the box of the file, and the same with its box inside the image; without one, that of its mask."""
    instance = parse(CocoInstance, annotation)
    label = content.category(instance.category_id)
    segmentation = parse_segmentation(
        instance.segmentation,
        "segmentation",
        size=image_ref.size,
        report=lambda reason: issues.add(
            reason, "segmentation", record=f"annotation {instance.id}"
        ),
    )
    box = usable_box(instance.bbox, segmentation.mask, size=image_ref.size)
    if box is None or not segmentation.area:
        raise DataError("has no pixels", field="segmentation")
    in_file = Obj(
        id=instance.id,
        box=instance.bbox or box,
        mask=segmentation.mask,
        labels=(label,),
        is_crowd=instance.is_crowd,
    )
    return in_file, replace(in_file, box=box)
