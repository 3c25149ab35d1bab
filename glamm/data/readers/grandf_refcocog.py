"""GranD-f from RefCOCOg: captions whose expressions have polygons.

Source: spec of GranD-f (b); `RefCOCOgGCGDataset` of the release.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from glamm.data.parsing import json_fields
from glamm.data.parsing.coco_segmentation import Segmentation, parse_segmentation
from glamm.data.parsing.dataset_paths import ensure_inside, find_file, relative
from glamm.data.parsing.image_refs import find_image
from glamm.data.parsing.json_stream import stream_list
from glamm.data.parsing.layout import Items, Layout, Text, parse
from glamm.data.parsing.phrase_spans import disjoint_spans, locate
from glamm.data.record import Record, read_record
from glamm.errors import DataError
from glamm.geometry import masks
from glamm.structures.issue import Issue, IssueLog, Location
from glamm.structures.sample import Frame, Obj, Sample, Span, SpanKind, Task, Turn
from glamm.typing import Box, Size

_NAME = "refcocog_gcg"
_FRAME = Frame.BY_SIZE
_IMAGES = ("coco_2014/train2014", "Refer_Segm/coco_2014/train2014")


class RefCaption(Layout):
    """The value of an entry, which is an object with one key."""

    caption: Text
    img_file_name: Text
    refs: Items[object] = ()


class Ref(Layout):
    """An expression of a caption; its segmentation is COCO's."""

    sentence: Text
    segmentation: object = None


@dataclass(frozen=True, slots=True)
class LocatedRef:
    """An expression that is in the caption.

    Args:
        sentence: As the file has it.
        span: Its range in the caption; its only object is that of the expression.
        segmentation: Of the object.
        box: Of the mask.
    """

    sentence: str
    span: Span
    segmentation: Segmentation
    box: Box


@dataclass(frozen=True, slots=True)
class RefcocogCaption:
    """What was read of one entry.

    Args:
        key: Of the entry.
        caption: Without quotes around it, with capitals.
        refs: In file order; their ranges may overlap.
        absent: Expressions that are not in the caption.
    """

    key: str
    caption: str
    refs: tuple[LocatedRef, ...]
    absent: tuple[str, ...]


class GrandfRefcocogReader:
    """Reads captions with their capitals; an expression is one object.

    Upstream: the release writes captions in small letters, loses expressions with capitals, and trims spans in file
    order, also where they only touch.
    """

    name = _NAME
    frame = _FRAME
    splits = ("train", "val")
    looked_for = ("GranDf/annotations/train/RefCOCOg_GCG_train.json", "the same with val")

    def exists_in(self, root: Path) -> bool:
        """Whether one of the files is below a folder."""
        return any(find_file(root, (_file(split),)) for split in self.splits)

    def read(self, root: Path, split: str) -> Iterator[Record | Issue]:
        """Yield a record per caption."""
        path = find_file(root, (_file(split),))
        if path is None:
            return
        file = relative(root, ensure_inside(root, path))
        for index, entry in enumerate(stream_list(path)):
            try:
                captions = json_fields.mapping(entry, "record")
            except DataError as error:
                yield Issue.of_record(file, str(index), error.reason, error.field)
                continue
            if not captions:
                yield Issue.of_record(file, str(index), "has no caption: the object is empty")
            for key, value in captions.items():
                yield from _read_caption(root, split, Location(file, str(index)), key, value)


def _file(split: str) -> str:
    return f"GranDf/annotations/train/RefCOCOg_GCG_{split}.json"


def _read_caption(
    root: Path, split: str, location: Location, key: str, value: object
) -> Iterator[Record | Issue]:
    def read(issues: IssueLog) -> Record:
        entry = parse(RefCaption, value, key)
        image = find_image(root, _IMAGES, entry.img_file_name, frame=_FRAME, by_end=True)
        caption = entry.caption.strip('"').strip()
        refs, absent = _locate_refs(entry, caption, image.size, issues)
        if not refs:
            raise DataError("none of the expressions can be grounded", field="refs")
        sample = Sample(
            sample_id=f"{_NAME}/{split}/{location.record}-{key}",
            task=Task.GROUNDED_CONVERSATION,
            dataset=_NAME,
            split=split,
            image=image,
            objects=tuple(_object(ref) for ref in refs),
            turns=(
                Turn("user", None),
                Turn("assistant", caption, _spans(caption, refs, issues)),
            ),
        )
        return Record(location, (sample,), RefcocogCaption(key, caption, refs, absent))

    return read_record(location, read)


def _locate_refs(
    entry: RefCaption, caption: str, size: Size, issues: IssueLog
) -> tuple[tuple[LocatedRef, ...], tuple[str, ...]]:
    """The expressions that are in the caption and have pixels, and those that are not in the caption."""
    located: list[LocatedRef] = []
    absent: list[str] = []
    for number, value in enumerate(entry.refs):
        field = f"refs[{number}]"
        try:
            ref = parse(Ref, value, field)
            range_ = locate(caption, ref.sentence)
            if range_ is None:
                absent.append(ref.sentence)
                issues.add(f"'{ref.sentence}' is not in the caption", f"{field}.sentence")
                continue
            segmentation, box = _segmentation(ref, f"{field}.segmentation", size, issues)
        except DataError as error:
            issues.add(error.reason, error.field)
            continue
        span = Span(*range_, SpanKind.SEG, (number,))
        located.append(LocatedRef(ref.sentence, span, segmentation, box))
    return tuple(located), tuple(absent)


def _segmentation(ref: Ref, field: str, size: Size, issues: IssueLog) -> tuple[Segmentation, Box]:
    segmentation = parse_segmentation(
        ref.segmentation, field, size=size, report=lambda reason: issues.add(reason, field)
    )
    box = masks.box_of(segmentation.mask)
    if box is None:
        raise DataError("has no pixels", field=field)
    return segmentation, box


def _object(ref: LocatedRef) -> Obj:
    return Obj(id=ref.span.object_ids[0], box=ref.box, mask=ref.segmentation.mask)


def _spans(caption: str, refs: tuple[LocatedRef, ...], issues: IssueLog) -> tuple[Span, ...]:
    in_text_order = sorted((ref.span for ref in refs), key=lambda span: span.start)
    return disjoint_spans(caption, in_text_order, issues, "refs")
