"""GranD-f's captions whose phrases have run-length masks: human annotations (SA-1B) and OpenPSG.

Source: spec of GranD-f (a); `GranDfDataset` and `OpenPsgGCGDataset` of the release.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field

from glamm.data.parsing import json_fields
from glamm.data.parsing.dataset_paths import ensure_inside, find_file, relative, resolve_image
from glamm.data.parsing.image_refs import image_header
from glamm.data.parsing.json_stream import stream_list
from glamm.data.parsing.layout import Layout, OneOrMore, Text, parse
from glamm.data.parsing.phrase_spans import (
    Range,
    checked_range,
    clipped_range,
    disjoint_spans,
    locate,
    overlap,
)
from glamm.data.record import Record, read_record
from glamm.errors import DataError
from glamm.geometry import masks
from glamm.geometry.image_files import ImageHeader
from glamm.structures.issue import Issue, IssueKind, IssueLog, Location
from glamm.structures.sample import Frame, ImageRef, Mask, Obj, Sample, Span, SpanKind, Task, Turn
from glamm.typing import Size


class Grounding(Layout):
    """Masks of one phrase; `token_positives` is its [start, end] in the caption, often wrong."""

    token_positives: object = None
    rle_masks: OneOrMore[object] = ()


class GroundedCaptionEntry(Layout):
    """One entry of the list in a file; the keys of `groundings` are the phrases. An empty list counts as no groundings."""

    caption: Text
    groundings: Annotated[dict[str, object], BeforeValidator(lambda value: value or {})] = Field(
        default_factory=dict
    )
    file_name: Text


@dataclass(frozen=True, slots=True)
class MaskedPhrase:
    """A phrase that was found in its caption.

    Args:
        key: The phrase as the file has it.
        span: Its range in the caption and the ids of its objects, one per mask.
        masks: In file order.
    """

    key: str
    span: Span
    masks: tuple[Mask, ...]


@dataclass(frozen=True, slots=True)
class MaskedCaption:
    """A caption and its phrases, in the order of the text; their ranges may overlap."""

    caption: str
    phrases: tuple[MaskedPhrase, ...]


@dataclass(frozen=True, slots=True)
class GrandfTrainReader:
    """Reads captions with spans. A mask is one object; training unites the objects of a phrase.

    Args:
        name: Of the data set.
        files: Path of the annotation file of each split.
        images: Folders that may hold an image, in the order in which they are tried.

    Upstream: the release adds the masks of a phrase, so that pixels under two of them count twice.
    """

    name: str
    files: dict[str, str]
    images: tuple[str, ...]

    frame = Frame.BY_SIZE

    @property
    def splits(self) -> tuple[str, ...]:
        """Those that have a file."""
        return tuple(self.files)

    @property
    def looked_for(self) -> tuple[str, ...]:
        """What makes the data set exist in a folder."""
        return tuple(self.files.values())

    def exists_in(self, root: Path) -> bool:
        """Whether the data set is below a folder."""
        return find_file(root, tuple(self.files.values())) is not None

    def read(self, root: Path, split: str) -> Iterator[Record | Issue]:
        """Yield a record per caption."""
        path = find_file(root, [self.files[split]] if split in self.files else [])
        if path is None:
            return
        file = relative(root, ensure_inside(root, path))
        for index, value in enumerate(stream_list(path)):
            read = partial(self._read_entry, root, split, value)
            yield from read_record(Location(file, str(index)), read)

    def _read_entry(self, root: Path, split: str, value: object, issues: IssueLog) -> Record:
        entry = parse(GroundedCaptionEntry, value)
        if not entry.groundings:
            raise DataError("no grounding (the official reader draws another record instead)")
        image_path = resolve_image(root, self.images, entry.file_name, by_end=True)
        header = image_header(image_path)
        caption = entry.caption.strip('"').strip()
        groundings = _parse_groundings(entry.groundings, issues)
        size = _size_of_masks(header, groundings, self.frame)
        raw = MaskedCaption(caption, _find_phrases(caption, groundings, size, issues))
        objects = tuple(obj for phrase in raw.phrases for obj in _objects(phrase))
        spans = (phrase.span for phrase in raw.phrases)
        kept = disjoint_spans(caption, spans, issues, "groundings")
        sample = Sample(
            sample_id=f"{self.name}/{split}/{issues.record}-{image_path.stem}",
            task=Task.GROUNDED_CONVERSATION,
            dataset=self.name,
            split=split,
            image=ImageRef(image_path.name, size, self.frame, path=str(image_path)),
            objects=objects,
            turns=(Turn("user", None), Turn("assistant", caption, kept)),
        )
        return Record(issues.location, (sample,), raw)


@dataclass(frozen=True, slots=True)
class _Grounding:
    """A valid grounding.

    Args:
        token_positives: The range of the phrase as the file has it.
        masks: The valid ones with their fields, for issues.
    """

    token_positives: object
    masks: tuple[tuple[str, Mask], ...]


def _parse_groundings(groundings: Mapping[str, object], issues: IssueLog) -> dict[str, _Grounding]:
    """The valid groundings by phrase; an invalid one, and an invalid or empty mask, cost only themselves."""
    parsed: dict[str, _Grounding] = {}
    for key, value in groundings.items():
        try:
            grounding = parse(Grounding, value, f"groundings.{key}")
        except DataError as error:
            issues.add(error.reason, error.field)
            continue
        valid: list[tuple[str, Mask]] = []
        for index, code in enumerate(grounding.rle_masks):
            field = f"groundings.{key}.rle_masks[{index}]"
            try:
                mask = json_fields.rle(code, field)
            except DataError as error:
                issues.add(error.reason, error.field)
                continue
            if masks.area(mask):
                valid.append((field, mask))
            else:
                issues.add("holds an empty mask", field)
        parsed[key] = _Grounding(grounding.token_positives, tuple(valid))
    return parsed


def _find_phrases(
    caption: str, groundings: Mapping[str, _Grounding], size: Size, issues: IssueLog
) -> tuple[MaskedPhrase, ...]:
    """The phrases that are in the caption and have masks, in the order of the text; object ids count up from 0."""
    found: list[tuple[int, int, str, tuple[Mask, ...]]] = []
    for key, grounding in groundings.items():
        fitting: list[Mask] = []
        for field, mask in grounding.masks:
            if mask.size == size:
                fitting.append(mask)
            else:
                issues.add(f"mask is {mask.size}, the image {size} (height, width)", field)
        range_, assumption = _range_of(key, grounding.token_positives, caption)
        if assumption:
            field = f"groundings.{key}.token_positives"
            issues.add(assumption, field, kind=IssueKind.ASSUMPTION)
        if range_ is None:
            reason = "is neither where token_positives says nor elsewhere in the caption"
            issues.add(reason, f"groundings.{key}")
        elif not fitting:
            issues.add("has no masks", f"groundings.{key}")
        else:
            found.append((*range_, key, tuple(fitting)))
    if not found:
        raise DataError("none of the phrases can be grounded", field="groundings")
    phrases: list[MaskedPhrase] = []
    num_objects = 0
    for start, end, key, codes in sorted(found, key=lambda item: item[:2]):
        ids = tuple(range(num_objects, num_objects + len(codes)))
        phrases.append(MaskedPhrase(key, Span(start, end, SpanKind.SEG, ids), codes))
        num_objects += len(codes)
    return tuple(phrases)


def _range_of(key: str, stated: object, caption: str) -> tuple[Range | None, str | None]:
    """Where a phrase is in the caption, and what had to be assumed for that."""
    found = locate(caption, key, hint=stated)
    range_ = checked_range(stated, caption)
    if (
        range_
        and found
        and not _is_about(caption[slice(*range_)], key, near=overlap(found, range_))
    ):
        return found, f"means '{caption[slice(*range_)]}': the phrase is read where it is"
    if range_ or found:
        return range_ or found, None
    range_ = clipped_range(stated, caption)
    return range_, range_ and f"ends behind the caption: read as '{caption[slice(*range_)]}'"


def _is_about(text: str, key: str, *, near: bool) -> bool:
    """Whether the text at a stated range is the phrase, has more words than it, or fewer of them and elsewhere."""
    text, key = text.strip().casefold(), key.strip().casefold()
    return key in text or (text in key and not near)


def _size_of_masks(header: ImageHeader, groundings: Mapping[str, _Grounding], frame: Frame) -> Size:
    """The (height, width) in which most masks are drawn: a size that the image has in the frame of the masks."""
    sizes = Counter(mask.size for grounding in groundings.values() for _, mask in grounding.masks)
    fitting = [size for size, _ in sizes.most_common() if header.has_size(size, frame)]
    if sizes and not fitting:
        height, width = sizes.most_common(1)[0][0]
        raise DataError(
            f"masks are {height} x {width} (height x width), the image is {header.size[0]} x {header.size[1]}",
            field="rle_masks",
        )
    return fitting[0] if fitting else header.size


def _objects(phrase: MaskedPhrase) -> Iterator[Obj]:
    for number, mask in zip(phrase.span.object_ids, phrase.masks, strict=True):
        box = masks.box_of(mask)
        if box is None:
            raise DataError("holds an empty mask", field=f"groundings.{phrase.key}")
        yield Obj(id=number, box=box, mask=mask)
