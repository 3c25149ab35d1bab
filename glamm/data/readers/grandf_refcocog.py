"""GranD-f from RefCOCOg: captions whose expressions have polygons.

Source: spec of GranD-f (b); `RefCOCOgGCGDataset` of the release.
"""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from glamm.data.inspection.shown import shown_span
from glamm.data.parsing import json_fields
from glamm.data.parsing.coco_segmentation import Segmentation, parse_segmentation
from glamm.data.parsing.dataset_paths import ensure_inside, find_file, relative
from glamm.data.parsing.image_refs import find_image
from glamm.data.parsing.json_stream import stream_list
from glamm.data.parsing.phrase_spans import locate, merge_spans
from glamm.data.record import Record
from glamm.errors import DataError
from glamm.geometry import masks
from glamm.structures.issue import Issue, Location
from glamm.structures.sample import ImageRef, Obj, Sample, Span, SpanKind, Task, Turn

NAME = "refcocog_gcg"
SPLITS = ("train", "val")

_IMAGES = ("coco_2014/train2014", "Refer_Segm/coco_2014/train2014")


def _files(split: str) -> tuple[str, ...]:
    return (f"GranDf/annotations/train/RefCOCOg_GCG_{split}.json",)


def exists_in(root: Path) -> bool:
    """Whether the data set is below a folder."""
    return any(find_file(root, _files(split)) for split in SPLITS)


def read(root: Path, split: str) -> Iterator[Record | Issue]:
    """Yield captions with their own capitals; an expression is one object.

    Upstream: the release writes captions in small letters, loses expressions with capitals, and trims spans in file
    order, also where they only touch.
    """
    path = find_file(root, _files(split))
    if path is None:
        return
    file = relative(root, ensure_inside(root, path))
    for index, entry in enumerate(stream_list(path)):
        try:
            for key, value in json_fields.mapping(entry, "record").items():
                record = json_fields.mapping(value, key)
                yield from _read_caption(root, split, Location(file, str(index)), key, record)
        except DataError as error:
            yield Issue.of_record(file, str(index), error.reason, error.field)


def _read_caption(
    root: Path, split: str, location: Location, key: str, record: json_fields.Json
) -> Iterator[Record | Issue]:
    file, index = location.file, str(location.record)
    caption = json_fields.text(record, "caption").strip('"').strip()
    image_ref = find_image(root, _IMAGES, json_fields.text(record, "img_file_name"))
    findings: list[Issue] = []
    found: list[tuple[Span, str, Obj, Segmentation]] = []
    absent: list[str] = []
    for number, ref in enumerate(json_fields.items(record, "refs")):
        try:
            told = json_fields.mapping(ref, f"refs[{number}]")
            sentence = json_fields.text(told, "sentence")
            where = locate(caption, sentence)
            if where is None:
                absent.append(sentence)
                reason = f"'{sentence}' is not in the caption"
                field = f"refs[{number}].sentence"
                findings.append(Issue.of_part(file, index, reason, field))
                continue
            obj, covers = _object(number, told, image_ref, findings, file, index)
            found.append((Span(*where, SpanKind.SEG, (number,)), sentence, obj, covers))
        except DataError as error:
            field = f"refs[{number}].{error.field}"
            findings.append(Issue.of_part(file, index, error.reason, field))
    yield from findings
    if not found:
        raise DataError("none of the expressions can be grounded", field="refs")
    in_text = sorted(found, key=lambda item: item[0].start)
    spans = [span for span, _, _, _ in in_text]
    kept, gone = merge_spans(spans)
    for span in gone:
        reason = f"'{caption[span.start : span.end]}' overlaps a longer phrase"
        yield Issue.of_part(file, index, reason, "refs")
    sample = Sample(
        sample_id=f"{NAME}/{split}/{index}-{key}",
        task=Task.GROUNDED_CONVERSATION,
        dataset=NAME,
        split=split,
        image=image_ref,
        objects=tuple(obj for _, _, obj, _ in found),
        turns=(Turn("user", None), Turn("assistant", caption, kept)),
    )
    shown: dict[str, Any] = {
        "key": key,
        "text": caption,
        "text_lowercased": caption.lower(),
        "spans": [
            shown_span(caption, span) | {"sentence_in_file": sentence}
            for span, sentence, _, _ in in_text
        ],
        "sentences_not_in_caption": absent,
        "spans_overlap": any(one.end > two.start for one, two in pairwise(spans)),
    }
    remarks = {obj.id: {"sum_of_parts": covers.sum_of_parts()} for _, _, obj, covers in found}
    yield Record(location, (sample,), remarks=shown, object_remarks=remarks)


def _object(
    number: int,
    ref: json_fields.Json,
    image_ref: ImageRef,
    findings: list[Issue],
    file: str,
    index: str,
) -> tuple[Obj, Segmentation]:
    covers = parse_segmentation(
        ref.get("segmentation"),
        "segmentation",
        size=image_ref.size,
        report=lambda reason: findings.append(
            Issue.of_part(file, index, reason, f"refs[{number}].segmentation")
        ),
    )
    box = masks.box_of(covers.mask)
    if box is None:
        raise DataError("has no pixels", field="segmentation")
    return Obj(id=number, box=box, mask=covers.mask), covers
