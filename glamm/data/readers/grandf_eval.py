"""GranD-f val and test as grounded captions."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from glamm.data.parsing import json_fields
from glamm.data.parsing.dataset_paths import ensure_inside, find_file, relative
from glamm.data.parsing.grandf_eval import (
    ANNOTATION_FOLDER,
    IMAGE_FOLDERS,
    EvalCaption,
    EvalImage,
    EvalMask,
    OfEvalImage,
    eval_entries,
    eval_file_names,
    find_eval_files,
    read_eval_file,
)
from glamm.data.parsing.image_refs import find_image
from glamm.data.parsing.layout import parse
from glamm.data.parsing.phrase_spans import Range, disjoint_spans, locate
from glamm.data.record import Record, read_record
from glamm.errors import DataError
from glamm.geometry import masks
from glamm.structures.issue import Issue, IssueLog, Location
from glamm.structures.sample import Frame, ImageRef, Obj, Sample, Span, SpanKind, Task, Turn
from glamm.typing import Size

_NAME = "granddf_val_test"
_FRAME = Frame.BY_SIZE


@dataclass(frozen=True, slots=True)
class LabelledCaption:
    """A caption and the labels that were found in it, in the order of the labels; their ranges may overlap."""

    caption: EvalCaption
    spans: tuple[Span, ...]


class GrandfEvalReader:
    """Reads GranD-f val and test: label i of a caption belongs to mask i of its image."""

    name = _NAME
    frame = _FRAME
    splits = ("val", "test")
    looked_for = tuple(
        f"{ANNOTATION_FOLDER}/{name}"
        for split in ("val", "test")
        for name in eval_file_names(split)
    )

    def exists_in(self, root: Path) -> bool:
        """Whether one of the files is below a folder."""
        names = [name for split in self.splits for name in eval_file_names(split)]
        return find_file(root / ANNOTATION_FOLDER, names) is not None

    def read(self, root: Path, split: str) -> Iterator[Record | Issue]:
        """Yield a record per caption."""
        if split not in self.splits:
            return
        paths = find_eval_files(root / ANNOTATION_FOLDER, split)
        if paths is None:
            return
        caption_file, mask_file = (ensure_inside(root, path) for path in paths)
        content = read_eval_file(caption_file)
        images = _images(content, caption_file)
        captions = [entry for _, entry in eval_entries(content, "annotations", caption_file)]
        captioned = {str(entry.get("image_id")) for entry in captions if isinstance(entry, dict)}
        issues = IssueLog(relative(root, mask_file))
        known = {*images, *captioned}
        annotations = _masks_by_image(read_eval_file(mask_file), mask_file, known, issues)
        yield from issues
        file = relative(root, caption_file)
        for index, entry in enumerate(captions):
            yield from _read_caption(root, split, file, index, entry, images, annotations)
        for image_id in images:
            if image_id not in captioned:
                yield Issue.of_record(file, f"{split}:{image_id}", "has no caption")


def _images(content: json_fields.Json, path: Path) -> dict[str, EvalImage]:
    """The valid entries of images, by id as text: the lists may write ids as numbers or as text."""
    images: dict[str, EvalImage] = {}
    for _, entry in eval_entries(content, "images", path):
        try:
            image = parse(EvalImage, entry)
        except DataError:  # reported by the captions of the image
            continue
        images[str(image.id)] = image
    return images


def _masks_by_image(
    content: json_fields.Json, path: Path, images: Collection[str], issues: IssueLog
) -> dict[str, list[object]]:
    """Entries of masks by image id as text, in file order; they are validated with the caption of the image."""
    entries: dict[str, list[object]] = defaultdict(list)
    for record, entry in eval_entries(content, "annotations", path):
        try:
            image_id = str(parse(OfEvalImage, entry).image_id)
        except DataError as error:
            issues.add(error.reason, error.field, record=record)
            continue
        if image_id in images:
            entries[image_id].append(entry)
        else:
            reason = f"image_id {image_id[:80]} is not among the images with captions"
            issues.add(reason, "image_id", record=record)
    return entries


def _read_caption(
    root: Path,
    split: str,
    file: str,
    index: int,
    entry: object,
    images: Mapping[str, EvalImage],
    annotations: Mapping[str, list[object]],
) -> Iterator[Record | Issue]:
    stated_id = entry.get("image_id", index) if isinstance(entry, dict) else index
    location = Location(file, f"{split}:{stated_id}")

    def read(issues: IssueLog) -> Record:
        caption = parse(EvalCaption, entry)
        image = images.get(str(caption.image_id))
        if image is None:
            raise DataError("is not among the images, or its entry is invalid", field="image_id")
        image_ref = _find_image(root, image)
        entries = annotations.get(str(caption.image_id), [])
        labelled = _labelled_objects(caption, entries, image_ref.size, issues)
        objects = tuple(obj for _, obj in labelled)
        spans = tuple(_spans(caption, labelled, issues))
        kept = disjoint_spans(caption.caption, spans, issues, "labels")
        sample = Sample(
            sample_id=f"{_NAME}/{split}/{stated_id}",
            task=Task.GROUNDED_CONVERSATION,
            dataset=_NAME,
            split=split,
            image=image_ref,
            objects=objects,
            turns=(Turn("user", None), Turn("assistant", caption.caption, kept)),
        )
        return Record(location, (sample,), LabelledCaption(caption, spans))

    return read_record(location, read)


def _find_image(root: Path, image: EvalImage) -> ImageRef:
    name = json_fields.text(image.file_name, "file_name")
    size = json_fields.size(image.height, image.width, "images.height, width")
    return find_image(root, IMAGE_FOLDERS, name, size=size, frame=_FRAME, by_end=True)


def _labelled_objects(
    caption: EvalCaption, entries: list[object], size: Size, issues: IssueLog
) -> list[tuple[str | None, Obj]]:
    """The valid masks, each with its label; those behind the last label have none. A double id is left out."""
    num_labels = len(caption.labels)
    if num_labels != len(entries):
        reason = f"{num_labels} labels and {len(entries)} masks: there should be one each"
        issues.add(reason, "labels")
    labelled: list[tuple[str | None, Obj]] = []
    for index, entry in enumerate(entries):
        label = caption.labels[index] if index < num_labels else None
        try:
            labelled.append((label, _object(parse(EvalMask, entry, "annotations"), size)))
        except DataError as error:
            issues.add(error.reason, error.field)
    times = Counter(obj.id for _, obj in labelled)
    for number, count in times.items():
        if count > 1:
            issues.add(f"{count} masks of the image have this id", f"annotation {number}.id")
    labelled = [(label, obj) for label, obj in labelled if times[obj.id] == 1]
    if not labelled:
        raise DataError("no grounding", field="labels")
    return labelled


def _object(annotation: EvalMask, size: Size) -> Obj:
    field = f"annotation {annotation.id}.segmentation"
    mask = json_fields.rle(annotation.segmentation, field)
    if mask.size != size:
        raise DataError(f"mask is {mask.size}, the image {size} (height, width)", field=field)
    box = masks.box_of(mask)
    if box is None:
        raise DataError("is empty", field=field)
    return Obj(id=annotation.id, box=box, mask=mask, is_crowd=annotation.is_crowd)


def _spans(
    caption: EvalCaption, labelled: Sequence[tuple[str | None, Obj]], issues: IssueLog
) -> Iterator[Span]:
    """The labels that are in the caption, each with its object."""
    taken: list[Range] = []
    for label, obj in labelled:
        if label is None:
            continue
        range_ = locate(caption.caption, label, taken=taken)
        if range_ is None:
            issues.add(f"'{label}' is not in the caption", "labels")
            continue
        taken.append(range_)
        yield Span(*range_, SpanKind.SEG, (obj.id,))
