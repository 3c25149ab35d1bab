"""Captions whose phrases have run-length masks, as one list of records.

Source: spec of GranD-f (a); `GranDfDataset` and `OpenPsgGCGDataset` of the release.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glamm.data.parsing import json_fields
from glamm.data.parsing.dataset_paths import ensure_inside, find_file, relative, resolve_image
from glamm.data.parsing.image_refs import image_header
from glamm.data.parsing.json_stream import stream_list
from glamm.data.parsing.phrase_spans import Range, checked_range, locate, settle_spans
from glamm.data.record import Record
from glamm.errors import DataError
from glamm.geometry import masks
from glamm.geometry.image_files import ImageHeader
from glamm.structures.issue import Issue, Location
from glamm.structures.sample import ImageRef, Mask, Obj, Sample, Span, SpanKind, Task, Turn
from glamm.typing import Size


@dataclass(frozen=True, slots=True)
class _Phrase:
    """A grounded phrase as the file has it."""

    key: str
    place: Range
    masks: tuple[Mask, ...]


@dataclass(frozen=True, slots=True)
class PhraseMasks:
    """Where a data set of grounded captions is.

    Args:
        name: Of the data set.
        files: Path of a split's file.
        images: Folders that images may be in.
    """

    name: str
    files: dict[str, str]
    images: tuple[str, ...]

    def is_in(self, root: Path) -> bool:
        """Whether the data set is below a folder."""
        return find_file(root, tuple(self.files.values())) is not None

    def read(self, root: Path, split: str) -> Iterator[Record | Issue]:
        """Yield captions with spans; a mask is one object, and the objects of a phrase are united when it is trained.

        Upstream: the release adds the masks of a phrase, so that pixels under two of them count twice.
        """
        path = find_file(root, [self.files[split]] if split in self.files else [])
        if path is None:
            return
        file = relative(root, ensure_inside(root, path))
        for index, entry in enumerate(stream_list(path)):
            try:
                yield from self._read_entry(root, split, file, index, entry)
            except DataError as error:
                yield Issue.of_record(file, str(index), error.reason, error.field)

    def _read_entry(
        self, root: Path, split: str, file: str, index: int, entry: object
    ) -> Iterator[Record | Issue]:
        record = json_fields.mapping(entry, "record")
        caption = json_fields.text(record, "caption").strip('"').strip()
        groundings = json_fields.mapping(record.get("groundings") or {}, "groundings")
        if not groundings:
            yield Issue.of_record(
                file, str(index), "no grounding (the official reader draws another record instead)"
            )
            return
        image_ref = resolve_image(root, self.images, json_fields.text(record, "file_name"))
        header = image_header(image_ref)
        phrases: list[_Phrase] = []
        for key, value in groundings.items():
            field = f"groundings.{key}"
            grounding = json_fields.mapping(value, field)
            place = checked_range(grounding.get("token_positives"), caption) or locate(caption, key)
            codes = tuple(
                json_fields.rle(code, field) for code in json_fields.items(grounding, "rle_masks")
            )
            if place is None or not codes:
                reason = (
                    "has no masks"
                    if place
                    else "is neither where token_positives says nor elsewhere in the caption"
                )
                yield Issue.of_part(file, str(index), reason, field)
                continue
            phrases.append(_Phrase(key, place, codes))
        if not phrases:
            raise DataError("none of the phrases can be grounded", field="groundings")
        phrases.sort(key=lambda phrase: phrase.place)
        size = _frame(header, phrases)
        objects, spans = _number(phrases)
        kept, gone = settle_spans(spans)
        for span in gone:
            reason = f"'{caption[span.start : span.end]}' overlaps a longer phrase"
            yield Issue.of_part(file, str(index), reason, "groundings")
        sample = Sample(
            sample_id=f"{self.name}/{split}/{index}-{image_ref.stem}",
            task=Task.GROUNDED_CONVERSATION,
            dataset=self.name,
            split=split,
            image=ImageRef(key=image_ref.name, size=size, path=str(image_ref)),
            objects=objects,
            turns=(Turn("user", None), Turn("assistant", caption, kept)),
        )
        told = {"text": caption, "spans": _shown(caption, phrases, spans)}
        yield Record(Location(file, str(index)), (sample,), remarks=told)


def _frame(header: ImageHeader, phrases: list[_Phrase]) -> Size:
    """The (height, width) that all masks state; the image must have it, as stored or as turned."""
    sizes = {mask.size for phrase in phrases for mask in phrase.masks}
    if len(sizes) > 1:
        raise DataError(f"masks have different sizes: {sorted(sizes)}", field="rle_masks")
    size = sizes.pop()
    if not header.has_frame(size):
        raise DataError(
            f"masks are {size[0]} x {size[1]} (height x width), the image is {header.size[0]} x {header.size[1]}",
            field="rle_masks",
        )
    return size


def _number(phrases: list[_Phrase]) -> tuple[tuple[Obj, ...], list[Span]]:
    objects: list[Obj] = []
    spans: list[Span] = []
    for phrase in phrases:
        first = len(objects)
        for mask in phrase.masks:
            box = masks.box_of(mask)
            if box is None:
                raise DataError("holds an empty mask", field=f"groundings.{phrase.key}")
            objects.append(Obj(id=len(objects), box=box, mask=mask))
        spans.append(Span(*phrase.place, SpanKind.SEG, tuple(range(first, len(objects)))))
    return tuple(objects), spans


def _shown(caption: str, phrases: list[_Phrase], spans: list[Span]) -> list[dict[str, Any]]:
    return [
        {
            "start": span.start,
            "end": span.end,
            "phrase": caption[span.start : span.end],
            "key_in_file": phrase.key,
            "object_ids": list(span.object_ids),
        }
        for phrase, span in zip(phrases, spans, strict=True)
    ]
