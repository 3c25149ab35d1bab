"""Flickr30k's captions with boxes for their phrases, in MDETR's form: one image row a caption.

Source: spec of GranD-f (c) and of region captioning (B.2.5).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from glamm.data.inspection.shown import shown_object, shown_span
from glamm.data.parsing import json_fields
from glamm.data.parsing.box_filter import MIN_SIDE, BoxedAnnotation, DroppedAnnotation, filter_boxes
from glamm.data.parsing.coco_json import CocoFile, Key, read_coco, read_images
from glamm.data.parsing.coco_segmentation import usable_box
from glamm.data.parsing.dataset_paths import find_file
from glamm.data.parsing.image_refs import find_image, stated_size
from glamm.data.parsing.phrase_spans import Range, checked_range, merge_spans
from glamm.data.record import Record
from glamm.errors import DataError
from glamm.structures.issue import Issue, Location
from glamm.structures.sample import Mask, Obj, Sample, Span, SpanKind, Task, Turn
from glamm.typing import Size

_MIN_WORDS = 3
_MAX_REGIONS = 10  # in one conversation


@dataclass(frozen=True, slots=True)
class _Phrase:
    """A phrase's place with one of its objects, as the file has it and as it is trained."""

    place: Range
    further: list[Any]
    seen: Obj
    trained: Obj


@dataclass(frozen=True, slots=True)
class FlickrReader:
    """Reads captions with boxes.

    Args:
        name: Of the data set.
        task: What it teaches.
        files: Paths that a split's file may have, by split.
        images: Folders that images may be in.
        mask_field: Where a mask is; None for boxes alone.
        turns: Makes turns from a caption and its spans.
    """

    name: str
    task: Task
    files: dict[str, tuple[str, ...]]
    images: tuple[str, ...]
    mask_field: str | None
    turns: Callable[[str, tuple[Span, ...]], tuple[Turn, ...]]

    @property
    def splits(self) -> tuple[str, ...]:
        """Those that have a file."""
        return tuple(self.files)

    def exists_in(self, root: Path) -> bool:
        """Whether the data set is below a folder."""
        return any(find_file(root, names) for names in self.files.values())

    def read(self, root: Path, split: str) -> Iterator[Record | Issue]:
        """Yield a record a caption; annotations of one phrase are one span.

        Upstream: only the first span of an annotation counts, here too; repeated spans corrupt the release's text.
        """
        path = find_file(root, self.files.get(split, ()))
        if path is None:
            return
        content = read_coco(root, path)
        yield from content.issues
        read = partial(self._read_caption, root, split, content)
        yield from read_images(content, read)

    def _read_caption(
        self, root: Path, split: str, content: CocoFile, number: Key
    ) -> Iterator[Record | Issue]:
        image = content.images[number]
        record = f"image {number}"
        caption = json_fields.text(image, "caption")
        image_ref = find_image(
            root, self.images, json_fields.text(image, "file_name"), size=stated_size(image)
        )
        if min(image_ref.size) < MIN_SIDE:
            raise DataError(f"picture side below {MIN_SIDE} px")
        if len(caption.split()) < _MIN_WORDS:
            raise DataError(f"caption has fewer than {_MIN_WORDS} words")
        phrases: list[_Phrase] = []
        left_out: list[DroppedAnnotation] = []
        for item in filter_boxes(content.annotations.get(number, []), image_ref.size):
            phrase = self._phrase(item, caption, image_ref.size)
            if isinstance(phrase, _Phrase):
                phrases.append(phrase)
            else:
                left_out.append(phrase)
        for item in left_out:
            yield item.issue(content.file, record)
        shown = _grouped(phrases)
        kept, gone = merge_spans(span for span, _ in shown)
        for span in gone:
            reason = f"'{caption[span.start : span.end]}' overlaps a longer phrase"
            yield Issue.of_part(content.file, record, reason, "tokens_positive")
        sample = Sample(
            sample_id=f"{self.name}/{split}/{number}",
            task=self.task,
            dataset=self.name,
            split=split,
            image=image_ref,
            objects=tuple(phrase.trained for phrase in phrases),
            turns=self.turns(caption, kept) if kept else (),
        )
        told: dict[str, Any] = {
            "text": caption,
            "objects": [shown_object(phrase.seen, {"bbox_source": "file"}) for phrase in phrases],
            "spans": [
                shown_span(caption, span) | ({"further_spans_in_file": further} if further else {})
                for span, further in shown
            ],
            "annotations_left_out": [
                {"annotation_id": item.id, "reason": item.reason} for item in left_out
            ],
        }
        yield Record(Location(content.file, record), (sample,), remarks=told, hidden=("turns",))

    def _phrase(
        self, item: BoxedAnnotation | DroppedAnnotation, caption: str, size: Size
    ) -> _Phrase | DroppedAnnotation:
        if isinstance(item, DroppedAnnotation):
            return item
        try:
            tokens = json_fields.items(item.annotation, "tokens_positive")
            mask = self._mask(item.annotation, size)
        except DataError as error:
            return DroppedAnnotation(item.id, error.reason, error.field)
        place = checked_range(tokens[0] if tokens else None, caption)
        if place is None:
            return DroppedAnnotation(item.id, "is no range of the caption", "tokens_positive")
        box = usable_box(item.box, mask, size=size)
        if box is None:
            return DroppedAnnotation(item.id, "box outside the picture")
        seen = Obj(id=item.id, box=item.box, mask=mask)
        return _Phrase(place, tokens[1:], seen, replace(seen, box=box))

    def _mask(self, annotation: json_fields.Json, size: Size) -> Mask | None:
        if self.mask_field is None:
            return None
        mask = json_fields.rle(annotation.get(self.mask_field), self.mask_field)
        if mask.size != size:
            raise DataError(
                f"mask is {mask.size}, the image {size} (height, width)", field=self.mask_field
            )
        return mask


def _grouped(phrases: list[_Phrase]) -> list[tuple[Span, list[Any]]]:
    """Phrases of one place are one span, in the order of the text."""
    groups: dict[Range, list[_Phrase]] = {}
    for phrase in phrases:
        groups.setdefault(phrase.place, []).append(phrase)
    return [
        (
            Span(*place, SpanKind.SEG, tuple(phrase.seen.id for phrase in group)),
            [span for phrase in group for span in phrase.further],
        )
        for place, group in sorted(groups.items())
    ]


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
