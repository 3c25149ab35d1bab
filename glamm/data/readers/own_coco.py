"""Your own images in COCO's form: instances with categories, captions, or both.

`annotations/instances_<split>.json` and `annotations/captions_<split>.json`; images in `images/`, in a folder named
after the split, or in the root. Files without a split in their name are for training. COCO 2017 itself has this form.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from glamm.data.parsing import json_fields
from glamm.data.parsing.coco_json import CocoFile, CocoInstance, Key, read_coco
from glamm.data.parsing.coco_segmentation import parse_segmentation, usable_box
from glamm.data.parsing.dataset_paths import find_file
from glamm.data.parsing.layout import field_path, parse
from glamm.data.readers.captions import CaptionsRecord, caption_samples, captions_of
from glamm.data.readers.labeled_shapes import class_targets
from glamm.data.record import Record, read_record
from glamm.errors import DataError
from glamm.structures.issue import Issue, IssueLog, Location
from glamm.structures.sample import Frame, ImageRef, Obj, Sample, Task

_KINDS = ("instances", "captions")


class OwnCocoReader:
    """Reads instances and captions of one's own images."""

    name = "coco"
    splits = ("train", "val", "test")
    frame = Frame.BY_SIZE

    def exists_in(self, root: Path) -> bool:
        """Whether instances or captions of a split are below a folder."""
        return any(_path(root, kind, split) for kind in _KINDS for split in self.splits)

    def read(self, root: Path, split: str) -> Iterator[Record | Issue]:
        """Yield one record per image: one target per category, meaning all its instances, and every caption."""
        paths = (_path(root, kind, split) for kind in _KINDS)
        instances, captions = (read_coco(root, path) if path else None for path in paths)
        lists_image: dict[Key, CocoFile] = {}  # the first file that has an entry for the image
        for content in (instances, captions):
            if content:
                yield from content.issues
                for image_id in content.images:
                    lists_image.setdefault(image_id, content)
        for image_id, content in lists_image.items():
            read = partial(self._read_image, root, split, image_id, content, instances, captions)
            yield from read_record(Location(content.file, f"image {image_id}"), read)

    def _read_image(
        self,
        root: Path,
        split: str,
        image_id: Key,
        content: CocoFile,
        instances: CocoFile | None,
        captions: CocoFile | None,
        issues: IssueLog,
    ) -> Record:
        image_ref = content.find_image(root, _image_folders(split), image_id, frame=self.frame)
        objects = _objects(instances, image_id, image_ref, issues) if instances else ()
        texts = captions_of(captions, image_id, issues) if captions else ()
        sample_id = f"{self.name}/{split}/{image_id}"
        samples = [
            replace(sample, objects=objects)
            for sample in caption_samples(
                texts, image_ref, sample_id=sample_id, dataset=self.name, split=split
            )
        ]
        if objects:
            classes = Sample(
                sample_id=f"{sample_id}/classes",
                task=Task.SEMANTIC_SEGMENTATION,
                dataset=self.name,
                split=split,
                image=image_ref,
                objects=objects,
                targets=class_targets(objects),
            )
            samples.insert(0, classes)
        if not samples:
            raise DataError("no annotation")
        return Record(issues.location, tuple(samples), raw=CaptionsRecord(texts))


def _path(root: Path, kind: str, split: str) -> Path | None:
    names = [f"{kind}_{split}.json", f"{kind}_{split}2017.json"]
    names += [f"{kind}.json"] if split == "train" else []
    return find_file(root, [f"{folder}{name}" for name in names for folder in ("annotations/", "")])


def _image_folders(split: str) -> tuple[str, ...]:
    return (f"images/{split}", f"{split}2017", split, "images", ".")


def _objects(
    instances: CocoFile, image_id: Key, image_ref: ImageRef, issues: IssueLog
) -> tuple[Obj, ...]:
    objects: list[Obj] = []
    for annotation in instances.annotations.get(image_id, []):
        try:
            objects.append(_object(annotation, instances, image_ref, issues))
        except DataError as error:
            issues.add(error.reason, field_path(f"annotation {annotation['id']}", error.field))
    return tuple(objects)


def _object(
    annotation: json_fields.Json, instances: CocoFile, image_ref: ImageRef, issues: IssueLog
) -> Obj:
    instance = parse(CocoInstance, annotation)
    label = instances.category(instance.category_id)
    segmentation = parse_segmentation(
        instance.segmentation,
        "segmentation",
        size=image_ref.size,
        report=lambda reason: issues.add(reason, f"annotation {instance.id}.segmentation"),
    )
    box = usable_box(instance.bbox, segmentation.mask, size=image_ref.size)
    if box is None or not segmentation.area:
        raise DataError("has no pixels", field="segmentation")
    return Obj(
        id=instance.id,
        box=box,
        mask=segmentation.mask,
        labels=(label,),
        is_crowd=instance.is_crowd,
    )
