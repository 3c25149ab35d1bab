"""Your own images in COCO's form: instances with categories, captions, or both.

`annotations/instances_<split>.json` and `annotations/captions_<split>.json`; images in `images/`, in a folder named
after the split, or beside. Files without a split in their name are for training. COCO 2017 itself is of this form.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from glamm.data.parsing import json_fields
from glamm.data.parsing.coco_json import CocoFile, Key, read_coco
from glamm.data.parsing.coco_segmentation import parse_segmentation, usable_box
from glamm.data.parsing.dataset_paths import find_file
from glamm.data.parsing.image_refs import find_image, stated_size
from glamm.data.readers.captions import captions_of
from glamm.data.readers.labelled_shapes import class_targets
from glamm.data.record import Record
from glamm.errors import DataError
from glamm.structures.issue import Issue, IssueLog, Location, Severity
from glamm.structures.sample import ImageRef, Obj, Sample, Task

NAME = "coco"
SPLITS = ("train", "val", "test")


def _files(kind: str, split: str) -> tuple[str, ...]:
    names = [f"{kind}_{split}.json", f"{kind}_{split}2017.json"]
    names += [f"{kind}.json"] if split == "train" else []
    return tuple(f"{folder}{name}" for name in names for folder in ("annotations/", ""))


def _images(split: str) -> tuple[str, ...]:
    return (f"images/{split}", f"{split}2017", split, "images", ".")


def is_in(root: Path) -> bool:
    """Whether the data set is below a folder."""
    return any(
        find_file(root, _files(kind, split))
        for kind in ("instances", "captions")
        for split in SPLITS
    )


def read(root: Path, split: str) -> Iterator[Record | Issue]:
    """Yield a record an image: one target a category, meaning all its instances, and every caption."""
    paths = [find_file(root, _files(kind, split)) for kind in ("instances", "captions")]
    instances, captions = (read_coco(root, path) if path else None for path in paths)
    known = [content for content in (instances, captions) if content]
    for content in known:
        yield from content.findings
    rows: dict[Key, CocoFile] = {}
    for content in known:
        for number in content.images:
            rows.setdefault(number, content)
    for number, content in rows.items():
        issues = IssueLog(content.file, f"image {number}")
        try:
            record = _read_image(root, split, content, number, (instances, captions), issues)
        except DataError as error:
            issues.add(error.reason, error.field, severity=Severity.RECORD)
            yield from issues
            continue
        yield from issues
        yield record


def _read_image(
    root: Path,
    split: str,
    content: CocoFile,
    number: Key,
    both: tuple[CocoFile | None, CocoFile | None],
    issues: IssueLog,
) -> Record:
    instances, captions = both
    image = content.images[number]
    image_ref = find_image(
        root, _images(split), json_fields.text(image, "file_name"), size=stated_size(image)
    )
    objects = tuple(_objects(instances, number, image_ref, issues)) if instances else ()
    samples: list[Sample] = []
    if objects:
        samples.append(
            Sample(
                sample_id=f"{NAME}/{split}/{number}/classes",
                task=Task.SEMANTIC_SEGMENTATION,
                dataset=NAME,
                split=split,
                image=image_ref,
                objects=objects,
                targets=class_targets(objects),
            )
        )
    told: list[dict[str, Any]] = []
    if captions:
        told, spoken = captions_of(
            captions, number, image_ref, name=NAME, split=split, report=issues.issues.append
        )
        samples += [replace(sample, objects=objects) for sample in spoken]
    if not samples:
        raise DataError("no annotation")
    remarks: dict[str, Any] = {"captions": told} if told else {}
    if objects:
        remarks["targets"] = [
            {"text": target.text, "object_ids": list(target.object_ids)}
            for target in samples[0].targets
        ]
    labels = {obj.id: {"labels": list(obj.labels), "bbox_source": "file"} for obj in objects}
    return Record(
        Location(content.file, issues.record),
        tuple(samples),
        remarks=remarks,
        object_remarks=labels,
    )


def _objects(
    content: CocoFile, number: Key, image_ref: ImageRef, issues: IssueLog
) -> Sequence[Obj]:
    found: list[Obj] = []
    for annotation in content.annotations.get(number, []):
        where = f"annotation {annotation['id']}"
        try:
            found.append(_object(annotation, content, image_ref, issues))
        except DataError as error:
            issues.add(error.reason, f"{where}.{error.field}")
    return found


def _object(
    annotation: json_fields.Json, content: CocoFile, image_ref: ImageRef, issues: IssueLog
) -> Obj:
    number = json_fields.integer(annotation["id"], "id")
    category = annotation.get("category_id")
    if not isinstance(category, int | str) or category not in content.categories:
        raise DataError(f"{str(category)[:80]} is not among the categories", field="category_id")
    covers = parse_segmentation(
        annotation.get("segmentation"),
        "segmentation",
        size=image_ref.size,
        report=lambda reason: issues.add(reason, f"annotation {number}.segmentation"),
    )
    file_box = json_fields.xywh(annotation["bbox"], "bbox") if annotation.get("bbox") else None
    box = usable_box(file_box, covers.mask, size=image_ref.size)
    if box is None or not covers.area:
        raise DataError("has no pixels", field="segmentation")
    return Obj(
        id=number,
        box=box,
        mask=covers.mask,
        labels=(content.categories[category],),
        is_crowd=bool(annotation.get("iscrowd")),
    )
