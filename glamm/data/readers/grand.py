"""GranD: objects with attributes, two short captions and a dense one; one JSON file per image, or three tables.

Source: spec of GranD's final JSON; `prepare_annotations` of the release.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from glamm.data.parsing import json_fields
from glamm.data.parsing.dataset_paths import (
    ensure_inside,
    files_of_split,
    find_folder,
    relative,
    resolve_image,
)
from glamm.data.parsing.image_refs import image_header
from glamm.data.parsing.json_stream import read_json
from glamm.data.parsing.layout import parse
from glamm.data.readers.grand_layout import (
    CaptionWithDetails,
    DenseCaptionPhrase,
    GrandImage,
    GrandObject,
    ShortCaptionPhrase,
)
from glamm.data.readers.grand_lmdb import TABLE_FOLDERS, find_tables, read_tables
from glamm.data.readers.grand_phrases import GroundedCaption, Phrase, expressions, ground_caption
from glamm.data.record import Record, read_record
from glamm.errors import DataError
from glamm.geometry import masks
from glamm.geometry.image_files import ImageHeader
from glamm.structures.issue import Issue, IssueLog, Location
from glamm.structures.sample import Frame, ImageRef, Mask, Obj, Sample, Target, Task, Turn
from glamm.typing import Size

_NAME = "grand"
_FRAME = Frame.BY_SIZE
_ANNOTATIONS = ("GranD/annotations", "GranD_Data/annotations")
_IMAGES = ("GranD_Data/images", "GranD/images")
_OPTIONAL = {"labels", "attributes", "depth", "median_depth", "score"}
"""Fields of an object; an invalid one costs only itself."""


@dataclass(frozen=True, slots=True)
class GrandRecord:
    """What was read of one image.

    Args:
        image: As the file has it.
        objects: The valid ones by id; of several with the same id the last one.
        floating_ids: Ids of those from `floating_objects`, which no detector found.
        dense: The dense caption.
        shorts: The valid short captions.
    """

    image: GrandImage
    objects: dict[int, GrandObject]
    floating_ids: frozenset[int]
    dense: GroundedCaption | None
    shorts: tuple[GroundedCaption, ...]


class GrandReader:
    """Reads GranD: up to three conversations, captions and expressions for each image.

    Files in a folder named after a split belong to it, all others to train. The tables are read where there are no
    files.
    """

    name = _NAME
    frame = _FRAME
    splits = ("train", "val", "test")
    looked_for = (*(f"{folder}/" for folder in _ANNOTATIONS), *TABLE_FOLDERS)

    def exists_in(self, root: Path) -> bool:
        """Whether there are annotation files or tables below a folder."""
        return find_folder(root, _ANNOTATIONS) is not None or bool(find_tables(root))

    def read(self, root: Path, split: str) -> Iterator[Record | Issue]:
        """Yield a record per image."""
        folder = find_folder(root, _ANNOTATIONS)
        if folder is None:
            yield from _read_tables(root, split)
            return
        for path in files_of_split(ensure_inside(root, folder), (".",), "*.json", split):
            file = relative(root, path)
            try:
                content = json_fields.mapping(read_json(ensure_inside(root, path)), "file")
            except DataError as error:
                new_issue = Issue.of_record if error.field else Issue.of_file
                yield new_issue(file, path.stem, error.reason, error.field)
                continue
            if not content:
                yield Issue.of_record(file, path.stem, "names no image: the object is empty")
            for name, value in content.items():
                yield from _read(root, split, Location(file, name), name, value, has_dense=True)


def _read_tables(root: Path, split: str) -> Iterator[Record | Issue]:
    for item in read_tables(root, split):
        if isinstance(item, Issue):
            yield item
            continue
        location = Location(item.file, item.image_name)
        yield from _read(root, split, location, item.image_name, item.content, has_dense=False)


def _read(
    root: Path, split: str, location: Location, name: str, value: object, *, has_dense: bool
) -> Iterator[Record | Issue]:
    """Read an image.

    Args:
        root: Folder of the data set.
        split: train, val or test.
        location: Of the record.
        name: File name of the image.
        value: What the file has about it.
        has_dense: Whether a dense caption is expected; the tables have none.
    """

    def read(issues: IssueLog) -> Record:
        image = parse(GrandImage, json_fields.mapping(value, name))
        if has_dense:  # else the tables say what they lack
            for field in ("objects", "short_captions"):
                if not getattr(image, field):
                    issues.add("is missing or empty", field)
        image_path = resolve_image(root, _IMAGES, name, by_end=True)
        header = image_header(image_path)
        parsed = tuple(_parse_objects(image, issues))
        unique = _without_repeated_ids(parsed, issues)
        size = _size_of_most_masks(unique, header)
        objects = tuple(_with_fitting_mask(obj, size, issues) for obj in unique)
        raw = GrandRecord(
            image,
            objects={item.layout.id: item.layout for item in parsed},
            floating_ids=frozenset(item.layout.id for item in parsed if item.is_floating),
            shorts=tuple(_short_captions(image, objects, issues)),
            dense=_dense_caption(image, objects, issues, is_expected=has_dense),
        )
        base = Sample(
            sample_id=f"{_NAME}/{split}/{image_path.stem}",
            task=Task.GROUNDED_CONVERSATION,
            dataset=_NAME,
            split=split,
            image=ImageRef(image_path.name, size, _FRAME, path=str(image_path)),
            objects=objects,
        )
        samples = (*_conversations(base, raw), *_expressions(base, raw.floating_ids))
        if not samples:
            raise DataError("has no caption and no expression: there is nothing to train")
        return Record(location, samples, raw)

    return read_record(location, read)


@dataclass(frozen=True, slots=True)
class _ParsedObject:
    layout: GrandObject
    obj: Obj
    is_floating: bool


def _parse_objects(image: GrandImage, issues: IssueLog) -> Iterator[_ParsedObject]:
    for name, values in (("objects", image.objects), ("floating_objects", image.floating_objects)):
        for index, value in enumerate(values):
            field = f"{name}[{index}]"
            try:
                layout = _parse_object(value, field, issues)
            except DataError as error:
                issues.add(error.reason, error.field)
                continue
            obj = _to_object(layout, _mask(layout, field, issues))
            yield _ParsedObject(layout, obj, is_floating=name == "floating_objects")


def _parse_object(value: object, field: str, issues: IssueLog) -> GrandObject:
    """Validate an object without those of its optional fields that are invalid."""
    try:
        return parse(GrandObject, value, field)
    except DataError as error:
        name = re.split(r"[.\[]", (error.field or "").removeprefix(f"{field}."))[0]
        if name not in _OPTIONAL:
            raise
        issues.add(error.reason, error.field)
        rest = {key: item for key, item in cast("json_fields.Json", value).items() if key != name}
        return _parse_object(rest, field, issues)


def _mask(layout: GrandObject, field: str, issues: IssueLog) -> Mask | None:
    """The mask of an object; an invalid one costs only itself."""
    if layout.segmentation is None:
        return None
    try:
        mask = json_fields.rle(layout.segmentation, f"{field}.segmentation")
    except DataError as error:
        issues.add(error.reason, error.field)
        return None
    if masks.area(mask):
        return mask
    issues.add("holds an empty mask", f"{field}.segmentation")
    return None


def _to_object(layout: GrandObject, mask: Mask | None) -> Obj:
    label = layout.label or (layout.labels[0] if layout.labels else None)
    labels = [*([str(label)] if label else []), *sorted(layout.labels)]
    stripped = (text.strip() for text in layout.attributes_without_role)
    return Obj(
        id=layout.id,
        box=layout.bbox,
        mask=mask,
        labels=tuple(dict.fromkeys(labels)),
        attributes=tuple(text for text in stripped if text),
        score=layout.score,
        depth=layout.depth,
        source=str(layout.segmentation_source or "detector").lower(),
    )


def _without_repeated_ids(parsed: tuple[_ParsedObject, ...], issues: IssueLog) -> tuple[Obj, ...]:
    times = Counter(item.layout.id for item in parsed)
    for number, count in times.items():
        if count > 1:
            reason = f"{count} objects have the id {number}: none of them is read"
            issues.add(reason, "objects.id")
    return tuple(item.obj for item in parsed if times[item.layout.id] == 1)


def _size_of_most_masks(objects: tuple[Obj, ...], header: ImageHeader) -> Size:
    """The (height, width) in which the masks are drawn: that of the image as stored, or as turned by EXIF."""
    sizes = Counter(
        obj.mask.size for obj in objects if obj.mask and header.has_size(obj.mask.size, _FRAME)
    )
    return sizes.most_common(1)[0][0] if sizes else header.size


def _with_fitting_mask(obj: Obj, size: Size, issues: IssueLog) -> Obj:
    if obj.mask is None or obj.mask.size == size:
        return obj
    issues.add(
        f"mask of object {obj.id} is {obj.mask.size}, the image is {size} (height, width)",
        "segmentation",
    )
    return replace(obj, mask=None)


def _short_captions(
    image: GrandImage, objects: tuple[Obj, ...], issues: IssueLog
) -> Iterator[GroundedCaption]:
    for index, value in enumerate(image.short_captions):
        field = f"short_captions[{index}]"
        try:
            caption = parse(CaptionWithDetails, value, field)
        except DataError as error:
            issues.add(error.reason, error.field)
            continue
        phrases = _phrases(caption, ShortCaptionPhrase, field, issues)
        yield ground_caption(caption.caption, phrases, objects, issues, field)


def _dense_caption(
    image: GrandImage, objects: tuple[Obj, ...], issues: IssueLog, *, is_expected: bool
) -> GroundedCaption | None:
    field = "dense_caption"
    if image.dense_caption is None:
        if is_expected:
            issues.add("is missing", field)
        return None
    try:
        caption = parse(CaptionWithDetails, image.dense_caption, field)
    except DataError as error:
        issues.add(error.reason, error.field)
        return None
    phrases = _phrases(caption, DenseCaptionPhrase, field, issues)
    return ground_caption(caption.caption, phrases, objects, issues, field)


def _phrases(
    caption: CaptionWithDetails,
    layout: type[ShortCaptionPhrase | DenseCaptionPhrase],
    field: str,
    issues: IssueLog,
) -> tuple[Phrase, ...]:
    """The valid phrases of a caption, in file order."""
    phrases: list[Phrase] = []
    for index, detail in enumerate(caption.details):
        try:
            phrases.append(parse(layout, detail, f"{field}.details[{index}]").to_phrase())
        except DataError as error:
            issues.add(error.reason, error.field)
    return tuple(phrases)


def _conversations(base: Sample, raw: GrandRecord) -> Iterator[Sample]:
    captions = [("dense", raw.dense)] if raw.dense else []
    captions += [(f"short{index}", caption) for index, caption in enumerate(raw.shorts)]
    for name, caption in captions:
        if caption.spans:
            turns = (Turn("user", None), Turn("assistant", caption.text, caption.spans))
            yield replace(base, sample_id=f"{base.sample_id}/{name}", turns=turns)
    for index, text in enumerate(dict.fromkeys(caption.text for caption in raw.shorts)):
        yield replace(
            base,
            sample_id=f"{base.sample_id}/caption{index}",
            task=Task.IMAGE_CAPTIONING,
            turns=(Turn("user", None), Turn("assistant", text)),
        )


def _expressions(base: Sample, floating_ids: frozenset[int]) -> Iterator[Sample]:
    """Referring expressions of objects with masks, one target per text, and captions of regions."""
    named = [
        (text, obj)
        for obj in base.objects
        if obj.id not in floating_ids
        for text in expressions(obj)
    ]
    by_text: dict[str, list[tuple[str, int]]] = {}
    for text, obj in named:
        if obj.mask:
            by_text.setdefault(text.casefold(), []).append((text, obj.id))
    referring = tuple(
        Target(group[0][0], tuple(number for _, number in group)) for group in by_text.values()
    )
    regions = tuple(Target(text, (obj.id,)) for text, obj in named)
    for name, task, targets in (
        ("refer", Task.REFERRING_SEGMENTATION, referring),
        ("region", Task.REGION_CAPTIONING, regions),
    ):
        if targets:
            yield replace(base, sample_id=f"{base.sample_id}/{name}", task=task, targets=targets)
