"""GranD: objects with attributes, two short captions and a dense one; one JSON file an image, or three tables.

Source: spec of GranD's final JSON; `prepare_annotations` of the release.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from glamm.data.parsing import json_fields
from glamm.data.parsing.dataset_paths import (
    ensure_inside,
    files_of_split,
    find_folder,
    relative,
    resolve_image,
)
from glamm.data.parsing.json_stream import read_json
from glamm.data.readers.grand_lmdb import all_tables, find_tables, read_tables
from glamm.data.readers.grand_phrases import GroundedCaption, Phrase, expressions, ground
from glamm.data.record import Record
from glamm.errors import DataError
from glamm.geometry.image_files import read_header
from glamm.structures.issue import Issue, IssueLog, Location, Severity
from glamm.structures.sample import ImageRef, Obj, Sample, Target, Task, Turn
from glamm.typing import Size

NAME = "grand"
SPLITS = ("train", "val", "test")

_ANNOTATIONS = ("GranD/annotations", "GranD_Data/annotations")
_IMAGES = ("GranD_Data/images", "GranD/images")
_ROLE_PREFIX = re.compile(r"^\s*(?:ass)?istant:\s*", re.IGNORECASE)
_ROLE_ANYWHERE = re.compile(r"\b(?:ass)?istant:?\s*", re.IGNORECASE)


class _Notes(IssueLog):
    """Issues of one image, and what single objects say beyond `Obj`."""

    def __init__(self, file: str, record: str, *, has_dense: bool) -> None:
        super().__init__(file, record)
        self.has_dense = has_dense  # the tables for pretraining have no dense caption
        self.object_remarks: dict[int, dict[str, Any]] = {}


def is_in(root: Path) -> bool:
    """Whether the data set is below a folder."""
    return find_folder(root, _ANNOTATIONS) is not None or bool(find_tables(root))


def read(root: Path, split: str) -> Iterator[Record | Issue]:
    """Yield everything that a file teaches about its image: up to two conversations, captions, expressions.

    Files in a folder named after a split belong to it, all others to train. The tables are read where there are no
    files.
    """
    folder = find_folder(root, _ANNOTATIONS)
    if folder is None:
        yield from _read_rows(root, split)
        return
    for path in files_of_split(ensure_inside(root, folder), (".",), "*.json", split):
        file = relative(root, path)
        try:
            content = json_fields.mapping(read_json(ensure_inside(root, path)), "file")
        except DataError as error:
            issue = Issue.of_record if error.field else Issue.of_file
            yield issue(file, path.stem, error.reason, error.field)
            continue
        for name, value in content.items():
            yield from _read_noted(root, split, value, _Notes(file, name, has_dense=True))


def beside(root: Path) -> tuple[dict[str, Any], list[Issue]]:
    """The tables for pretraining as they are, and what of them cannot be read."""
    tables, faults = all_tables(root)
    if not tables:
        return {}, faults
    lost = {
        name: [image_path for image_path in tables.get("objects", {}) if image_path not in rows]
        for name, rows in tables.items()
        if name != "objects"
    }
    return {"tables": tables, "images_lost_by_the_preparation_steps": lost}, faults


def _read_rows(root: Path, split: str) -> Iterator[Record | Issue]:
    for row in read_tables(root, split):
        if isinstance(row, Issue):
            yield row
            continue
        notes = _Notes(row.file, row.name, has_dense=False)
        yield from _read_noted(root, split, row.content, notes)


def _read_noted(root: Path, split: str, value: object, notes: _Notes) -> Iterator[Record | Issue]:
    """Read an image; what was noted comes before it."""
    try:
        record = _read_image(root, split, json_fields.mapping(value, str(notes.record)), notes)
    except DataError as error:
        notes.add(error.reason, error.field, severity=Severity.RECORD)
        yield from notes
        return
    yield from notes
    yield record


def _read_image(root: Path, split: str, content: json_fields.Json, notes: _Notes) -> Record:
    image_path = resolve_image(root, _IMAGES, str(notes.record))
    try:
        header = read_header(image_path)
    except ValueError as error:
        raise DataError(str(error), field="image") from error
    objects = _objects(content, notes)
    sizes = Counter(
        obj.mask.size for obj in objects if obj.mask and header.has_frame(obj.mask.size)
    )
    size = sizes.most_common(1)[0][0] if sizes else header.size
    objects = tuple(_with_fitting_mask(obj, size, notes) for obj in objects)
    captions = [
        ground(caption, objects, notes.add, where=f"short_captions[{index}]")
        for index, caption in enumerate(_short_captions(content, notes))
    ]
    dense = _dense_caption(content, notes)
    described = ground(dense, objects, notes.add, where="dense_caption") if dense else None
    base = Sample(
        sample_id=f"{NAME}/{split}/{image_path.stem}",
        task=Task.GROUNDED_CONVERSATION,
        dataset=NAME,
        split=split,
        image=ImageRef(key=image_path.name, size=size, path=str(image_path)),
        objects=objects,
    )
    samples = (*_conversations(base, described, captions), *_expressions(base, notes))
    if not samples:
        raise DataError("teaches nothing: no caption and no expression")
    remarks = _remarks(content, objects, notes.object_remarks, described, captions)
    return Record(
        Location(notes.file, notes.record),
        samples,
        remarks=remarks,
        object_remarks=notes.object_remarks,
    )


def _objects(content: json_fields.Json, notes: _Notes) -> tuple[Obj, ...]:
    found: list[Obj] = []
    for name, is_floating in (("objects", False), ("floating_objects", True)):
        for index, value in enumerate(json_fields.items(content, name)):
            try:
                found.append(_object(value, f"{name}[{index}]", notes, is_floating=is_floating))
            except DataError as error:
                notes.add(error.reason, error.field)
    used = Counter(obj.id for obj in found)
    for number, times in used.items():
        if times > 1:
            notes.add(
                f"{times} objects have the id {number}: none of them can be told apart",
                "objects.id",
            )
    return tuple(obj for obj in found if used[obj.id] == 1)


def _object(value: object, where: str, notes: _Notes, *, is_floating: bool) -> Obj:
    record = json_fields.mapping(value, where)
    number = json_fields.integer(record.get("id"), f"{where}.id")
    box = json_fields.box(record.get("bbox"), f"{where}.bbox")
    labels = [str(label) for label in json_fields.items(record, "labels")]
    label = record.get("label") or (labels[0] if labels else None)
    attributes = _attributes(record, where)
    depth = json_fields.optional_number(record, "depth")
    depth = json_fields.optional_number(record, "median_depth") if depth is None else depth
    score = json_fields.optional_number(record, "score")
    mask = None
    if record.get("segmentation") is not None:
        try:
            mask = json_fields.rle(record["segmentation"], f"{where}.segmentation")
        except DataError as error:
            notes.add(error.reason, error.field)
    notes.object_remarks[number] = {
        "bbox_source": "file",
        "labels": labels,
        "label": record.get("label"),
        "attributes": attributes,
        "attributes_cleaned_compat": [_ROLE_ANYWHERE.sub("", text) for text in attributes],
        "attributes_prefix_stripped": [_ROLE_PREFIX.sub("", text) for text in attributes],
        "score": score,
        "depth": depth,
        "source": record.get("segmentation_source"),
        "floating": is_floating,
    }
    stripped = (_ROLE_PREFIX.sub("", text).strip() for text in attributes)
    return Obj(
        id=number,
        box=box,
        mask=mask,
        labels=tuple(dict.fromkeys([*([str(label)] if label else []), *sorted(labels)])),
        attributes=tuple(text for text in stripped if text),
        score=score,
        depth=depth,
        source=str(record.get("segmentation_source") or "detector").lower(),
    )


def _attributes(record: json_fields.Json, where: str) -> list[str]:
    """None, one text or a list of texts: all three occur."""
    value = record.get("attributes")
    if isinstance(value, str):
        return [value] if value else []
    return [
        json_fields.text({where: part}, where) for part in json_fields.items(record, "attributes")
    ]


def _with_fitting_mask(obj: Obj, size: Size, notes: _Notes) -> Obj:
    if obj.mask is None or obj.mask.size == size:
        return obj
    notes.add(
        f"mask of object {obj.id} is {obj.mask.size}, the image is {size} (height, width)",
        "segmentation",
    )
    return replace(obj, mask=None)


def _short_captions(content: json_fields.Json, notes: _Notes) -> Iterator[tuple[str, list[Phrase]]]:
    for index, value in enumerate(json_fields.items(content, "short_captions")):
        where = f"short_captions[{index}]"
        try:
            record = json_fields.mapping(value, where)
            details = [
                json_fields.mapping(detail, where)
                for detail in json_fields.items(record, "details")
            ]
            phrases = [
                Phrase(
                    json_fields.text(detail, "phrase"),
                    (json_fields.integer(detail.get("id"), "id"),),
                    detail.get("tokens_positive"),
                )
                for detail in details
            ]
            yield json_fields.text(record, "caption"), phrases
        except DataError as error:
            notes.add(error.reason, f"{where}.{error.field}")


def _dense_caption(content: json_fields.Json, notes: _Notes) -> tuple[str, list[Phrase]] | None:
    if content.get("dense_caption") is None:
        if notes.has_dense:
            notes.add("is missing", "dense_caption")
        return None
    try:
        record = json_fields.mapping(content["dense_caption"], "dense_caption")
        details = [
            json_fields.mapping(detail, "details")
            for detail in json_fields.items(record, "details")
        ]
        phrases = [
            Phrase(
                json_fields.text(detail, "phrase"),
                tuple(
                    json_fields.integer(number, "ids")
                    for number in json_fields.items(detail, "ids")
                ),
                detail.get("tokens_positive"),
            )
            for detail in details
        ]
        return json_fields.text(record, "caption"), phrases
    except DataError as error:
        notes.add(error.reason, f"dense_caption.{error.field}")
        return None


def _conversations(
    base: Sample, dense: GroundedCaption | None, shorts: list[GroundedCaption]
) -> Iterator[Sample]:
    grounded = [("dense", dense)] if dense else []
    grounded += [(f"short{index}", caption) for index, caption in enumerate(shorts)]
    for name, caption in grounded:
        if caption.spans:
            turns = (Turn("user", None), Turn("assistant", caption.text, caption.spans))
            yield replace(base, sample_id=f"{base.sample_id}/{name}", turns=turns)
    for index, text in enumerate(dict.fromkeys(caption.text for caption in shorts)):
        turns = (Turn("user", None), Turn("assistant", text))
        yield replace(
            base,
            sample_id=f"{base.sample_id}/caption{index}",
            task=Task.IMAGE_CAPTIONING,
            turns=turns,
        )


def _expressions(base: Sample, notes: _Notes) -> Iterator[Sample]:
    floating = {number for number, remark in notes.object_remarks.items() if remark["floating"]}
    found = [
        (text, obj) for obj in base.objects if obj.id not in floating for text in expressions(obj)
    ]
    meant: dict[str, list[tuple[str, int]]] = {}
    for text, obj in found:
        if obj.mask:
            meant.setdefault(text.casefold(), []).append((text, obj.id))
    masked = tuple(
        Target(group[0][0], tuple(number for _, number in group)) for group in meant.values()
    )
    boxed = tuple(Target(text, (obj.id,)) for text, obj in found)
    for name, task, targets in (
        ("refer", Task.REFERRING_SEGMENTATION, masked),
        ("region", Task.REGION_CAPTIONING, boxed),
    ):
        if targets:
            yield replace(base, sample_id=f"{base.sample_id}/{name}", task=task, targets=targets)


def _remarks(
    content: json_fields.Json,
    objects: tuple[Obj, ...],
    object_remarks: dict[int, dict[str, Any]],
    dense: GroundedCaption | None,
    shorts: list[GroundedCaption],
) -> dict[str, Any]:
    affordances = content.get("affordances")
    listed = affordances.values() if isinstance(affordances, dict) else ()
    used = {
        number
        for entry in listed
        if isinstance(entry, dict)
        for number in json_fields.items(entry, "object_ids")
    }
    return {
        "dense": dense.shown(is_dense=True) if dense else None,
        "short": [caption.shown(is_dense=False) for caption in shorts],
        "stale_affordance_ids": sorted(used - set(object_remarks)),
        "landmark": content.get("landmark") or None,
        "context": content.get("additional_context") or None,
        "object_without_mask": [
            obj.id for obj in objects if obj.mask is None and not object_remarks[obj.id]["floating"]
        ],
    }
