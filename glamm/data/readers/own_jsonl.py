"""This project's own form: a sample a line, in `train.jsonl`, `val.jsonl` and `test.jsonl`.

docs/how-to/own-data.md has an example of every task.
"""

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar, cast

from glamm.data.parsing import json_fields
from glamm.data.parsing.coco_segmentation import parse_segmentation
from glamm.data.parsing.dataset_paths import ensure_inside, relative
from glamm.data.parsing.image_refs import find_image, stated_size
from glamm.data.parsing.json_stream import parse_json
from glamm.data.record import Record
from glamm.errors import DataError
from glamm.geometry import masks
from glamm.structures.issue import Issue, IssueLog, Location, Severity
from glamm.structures.sample import (
    ImageRef,
    Obj,
    Sample,
    Span,
    SpanKind,
    Target,
    Task,
    Turn,
)

NAME = "jsonl"
SPLITS = ("train", "val", "test")

_FOLDERS = (".", "images")

Choice = TypeVar("Choice", bound=StrEnum)


def is_in(root: Path) -> bool:
    """Whether the data set is below a folder."""
    return any((root / f"{split}.jsonl").is_file() for split in SPLITS)


def read(root: Path, split: str) -> Iterator[Record | Issue]:
    """Yield a record a line, as the file is read."""
    path = root / f"{split}.jsonl"
    if not path.is_file():
        return
    file = relative(root, ensure_inside(root, path))
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    issues = IssueLog(file, f"line {number}")
                    yield from _read_line(root, split, path, line, issues)
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", file=path) from error


def _read_line(
    root: Path, split: str, path: Path, line: bytes, issues: IssueLog
) -> Iterator[Record | Issue]:
    try:
        entry = json_fields.mapping(parse_json(line, path), "the line")
        sample = _sample(root, split, entry, issues)
    except DataError as error:
        issues.add(error.reason, error.field, severity=Severity.RECORD)
        yield from issues
        return
    yield from issues
    yield Record(Location(issues.file, issues.record), (sample,))


def _sample(root: Path, split: str, entry: json_fields.Json, issues: IssueLog) -> Sample:
    if not entry.get("turns") and not entry.get("targets"):
        raise DataError("has neither turns nor targets", field="turns, targets")
    given = json_fields.mapping(entry.get("image"), "image")
    image_ref = find_image(root, _FOLDERS, json_fields.text(given, "file"), size=stated_size(given))
    objects: list[Obj] = []
    for index, value in enumerate(json_fields.items(entry, "objects")):
        field = f"objects[{index}]"
        objects.append(_object(json_fields.mapping(value, field), field, image_ref, issues))
    name = str(issues.record).removeprefix("line ")
    sample_id = json_fields.text(entry, "sample_id") if "sample_id" in entry else name
    return Sample(
        sample_id=f"{NAME}/{split}/{sample_id}",
        task=_choice(Task, entry.get("task"), "task"),
        dataset=NAME,
        split=split,
        image=image_ref,
        objects=tuple(objects),
        turns=tuple(
            _turn(value, index) for index, value in enumerate(json_fields.items(entry, "turns"))
        ),
        targets=tuple(
            _target(value, index) for index, value in enumerate(json_fields.items(entry, "targets"))
        ),
    )


def _object(entry: json_fields.Json, field: str, image_ref: ImageRef, issues: IssueLog) -> Obj:
    mask = None
    if entry.get("segmentation") is not None:
        covers = parse_segmentation(
            entry["segmentation"],
            f"{field}.segmentation",
            size=image_ref.size,
            report=lambda reason: issues.add(reason, f"{field}.segmentation"),
        )
        mask = covers.mask
    box = masks.box_of(mask) if mask else None
    if entry.get("bbox") is not None:
        box = json_fields.box(entry["bbox"], f"{field}.bbox")
    if box is None:
        raise DataError("needs a bbox, or a segmentation with pixels", field=field)
    return Obj(
        id=json_fields.integer(entry.get("id"), f"{field}.id"),
        box=box,
        mask=mask,
        labels=_texts(entry, "labels", field),
        attributes=_texts(entry, "attributes", field),
        is_crowd=entry.get("is_crowd") is True,
    )


def _texts(entry: json_fields.Json, name: str, field: str) -> tuple[str, ...]:
    where = f"{field}.{name}"
    return tuple(
        json_fields.text({where: value}, where) for value in json_fields.items(entry, name)
    )


def _turn(value: object, index: int) -> Turn:
    field = f"turns[{index}]"
    entry = json_fields.mapping(value, field)
    text = None if entry.get("text") is None else json_fields.text(entry, "text")
    spans = (_span(span, field) for span in json_fields.items(entry, "spans"))
    ordered = sorted(spans, key=lambda span: (span.start, span.end))
    return Turn(json_fields.text(entry, "role"), text, tuple(ordered))


def _span(value: object, field: str) -> Span:
    entry = json_fields.mapping(value, f"{field}.spans")
    return Span(
        start=json_fields.integer(entry.get("start"), f"{field}.spans.start"),
        end=json_fields.integer(entry.get("end"), f"{field}.spans.end"),
        kind=_choice(SpanKind, entry.get("kind", SpanKind.SEG.value), f"{field}.spans.kind"),
        object_ids=_ids(entry, field),
    )


def _target(value: object, index: int) -> Target:
    field = f"targets[{index}]"
    entry = json_fields.mapping(value, field)
    return Target(json_fields.text(entry, "text"), _ids(entry, field))


def _ids(entry: json_fields.Json, field: str) -> tuple[int, ...]:
    where = f"{field}.object_ids"
    found = cast("list[Any]", json_fields.items(entry, "object_ids"))
    return tuple(json_fields.integer(one, where) for one in found)


def _choice(kinds: type[Choice], value: object, field: str) -> Choice:
    try:
        return kinds(value)
    except ValueError as error:
        known = ", ".join(kind.value for kind in kinds)
        raise DataError(f"must be one of {known}", field=field) from error
