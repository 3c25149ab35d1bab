"""Flickr30k's captions with boxes for their phrases, in MDETR's form: one entry of `images` per caption.

Source: spec of GranD-f (c) and of region captioning (B.2.5).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, cast

from pydantic import BeforeValidator

from glamm.data.parsing import json_fields
from glamm.data.parsing.box_filter import (
    MIN_SIDE,
    BoxedAnnotation,
    DroppedAnnotation,
    filter_boxes,
)
from glamm.data.parsing.coco_json import CocoFile, CocoImage, Key
from glamm.data.parsing.coco_segmentation import usable_box
from glamm.data.parsing.layout import Items, Layout, Text, parse
from glamm.data.parsing.phrase_spans import Range, checked_range, clipped_range, disjoint_spans
from glamm.data.readers.coco_reader import CocoReader
from glamm.data.record import Record
from glamm.errors import DataError
from glamm.geometry import masks
from glamm.structures.issue import IssueKind, IssueLog
from glamm.structures.sample import Mask, Obj, Sample, Span, SpanKind, Task, Turn
from glamm.typing import Size

_MIN_WORDS = 3  # of a caption
_MAX_REGIONS = 10  # in one conversation


class FlickrImage(CocoImage):
    """An entry of `images`: an image with one of its captions."""

    caption: Text


def _as_ranges(value: object) -> object:
    """Make a list of a single [start, end]."""
    is_range = isinstance(value, list) and not any(
        isinstance(item, list) for item in cast("list[object]", value)
    )
    return [value] if is_range and value else value


class FlickrPhrase(Layout):
    """An entry of `annotations`: a box with ranges of the caption; GranD-f adds a mask.

    Upstream: only the first range counts; repeated ranges corrupt the text of the release. Kept.
    """

    tokens_positive: Annotated[Items[object], BeforeValidator(_as_ranges)] = ()
    sam_mask: object = None


@dataclass(frozen=True, slots=True)
class PhraseObject:
    """An object and the phrase that names it.

    Args:
        range: Of the phrase in the caption.
        further_ranges: What else the file has in `tokens_positive`.
        annotated: The object as the file has it; its box may reach outside the image.
        trained: The same with its box clipped to the image.
    """

    range: Range
    further_ranges: tuple[object, ...]
    annotated: Obj
    trained: Obj


@dataclass(frozen=True, slots=True)
class FlickrCaption:
    """What was read of one caption.

    Args:
        caption: As the file has it.
        phrases: In file order.
        dropped: Annotations that do not count.
    """

    caption: str
    phrases: tuple[PhraseObject, ...]
    dropped: tuple[DroppedAnnotation, ...]


@dataclass(frozen=True, slots=True)
class Flickr30kReader(CocoReader):
    """Reads captions with boxes; annotations of one phrase are one span.

    Args:
        task: Of the samples.
        has_masks: Whether every annotation has a `sam_mask`.
        make_turns: Makes a conversation from a caption and its spans.
    """

    task: Task
    has_masks: bool
    make_turns: Callable[[str, tuple[Span, ...]], tuple[Turn, ...]]

    def _read_image(
        self, root: Path, split: str, content: CocoFile, image_id: Key, issues: IssueLog
    ) -> Record:
        caption = parse(FlickrImage, content.images[image_id]).caption
        image = content.find_image(root, self.images, image_id, frame=self.frame)
        if min(image.size) < MIN_SIDE:
            raise DataError(f"picture side below {MIN_SIDE} px")
        if len(caption.split()) < _MIN_WORDS:
            raise DataError(f"caption has fewer than {_MIN_WORDS} words")
        annotations = content.annotations.get(image_id, [])
        if not annotations:
            issues.add("has no annotation", "annotations")
        phrases, dropped = self._split_annotations(annotations, caption, image.size, issues)
        for item in dropped:
            issues.add(item.reason, item.location_field)
        spans = (Span(*phrase.range, SpanKind.SEG, (phrase.trained.id,)) for phrase in phrases)
        kept = disjoint_spans(caption, spans, issues, "tokens_positive")
        sample = Sample(
            sample_id=f"{self.name}/{split}/{image_id}",
            task=self.task,
            dataset=self.name,
            split=split,
            image=image,
            objects=tuple(phrase.trained for phrase in phrases),
            turns=self.make_turns(caption, kept) if kept else (),
        )
        return Record(issues.location, (sample,), FlickrCaption(caption, phrases, dropped))

    def _split_annotations(
        self, annotations: list[json_fields.Json], caption: str, size: Size, issues: IssueLog
    ) -> tuple[tuple[PhraseObject, ...], tuple[DroppedAnnotation, ...]]:
        """The annotations that count, and those that do not."""
        phrases: list[PhraseObject] = []
        dropped: list[DroppedAnnotation] = []
        for item in filter_boxes(annotations, size):
            result = (
                self._phrase(item, caption, size, issues)
                if isinstance(item, BoxedAnnotation)
                else item
            )
            if isinstance(result, PhraseObject):
                phrases.append(result)
            else:
                dropped.append(result)
        return tuple(phrases), tuple(dropped)

    def _phrase(
        self, item: BoxedAnnotation, caption: str, size: Size, issues: IssueLog
    ) -> PhraseObject | DroppedAnnotation:
        try:
            annotation = parse(FlickrPhrase, item.annotation)
            mask = _mask(annotation, size) if self.has_masks else None
        except DataError as error:
            return DroppedAnnotation(item.id, error.reason, error.field)
        ranges = annotation.tokens_positive
        first, *further = sorted(ranges, key=lambda one: clipped_range(one, caption) is None) or [
            None
        ]
        range_ = clipped_range(first, caption)
        if range_ is None:
            return DroppedAnnotation(item.id, "is no range of the caption", "tokens_positive")
        phrase = f"read as '{caption[slice(*range_)]}'"
        field = f"annotation {item.id}.tokens_positive"
        if first is not ranges[0]:
            reason = f"begins with something that is no range of the caption: {phrase}"
            issues.add(reason, field, kind=IssueKind.ASSUMPTION)
        elif range_ != checked_range(first, caption):
            issues.add(f"ends behind the caption: {phrase}", field, kind=IssueKind.ASSUMPTION)
        box = usable_box(item.box, mask, size=size)
        if box is None:
            return DroppedAnnotation(item.id, "box outside the picture")
        annotated = Obj(id=item.id, box=item.box, mask=mask)
        return PhraseObject(range_, tuple(further), annotated, replace(annotated, box=box))


def caption_turns(caption: str, spans: tuple[Span, ...]) -> tuple[Turn, ...]:
    """A question that is written later, answered by the caption with its spans."""
    return Turn("user", None), Turn("assistant", caption, spans)


def region_turns(caption: str, spans: tuple[Span, ...]) -> tuple[Turn, ...]:
    """A question about all regions, answered by the caption; then one about each, answered by its phrase.

    Upstream: the release names every box twice, so that its tokens and boxes do not match.
    """
    regions = spans[:_MAX_REGIONS]
    turns = [_question("What can be seen in {}?", regions, first=1), Turn("assistant", caption)]
    for number, span in enumerate(regions, start=1):
        question = _question("And what is {}?", (span,), first=number)
        turns += [question, Turn("assistant", caption[span.start : span.end])]
    return tuple(turns)


def _mask(annotation: FlickrPhrase, size: Size) -> Mask:
    mask = json_fields.rle(annotation.sam_mask, "sam_mask")
    if mask.size != size:
        raise DataError(f"mask is {mask.size}, the image {size} (height, width)", field="sam_mask")
    if not masks.area(mask):
        raise DataError("holds an empty mask", field="sam_mask")
    return mask


def _question(template: str, phrases: tuple[Span, ...], *, first: int) -> Turn:
    """A question with a word and a region for every phrase; the first region has the number `first`."""
    text, _, rest = template.partition("{}")
    spans: list[Span] = []
    for number, phrase in enumerate(phrases, start=first):
        text += ", " if spans else ""
        word = f"region{number}"
        spans.append(Span(len(text), len(text) + len(word), SpanKind.REGION, phrase.object_ids))
        text += word
    return Turn("user", text + rest, tuple(spans))
