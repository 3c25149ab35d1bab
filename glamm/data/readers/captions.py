"""Captions of images in COCO's form: several an image."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from glamm.data.parsing import json_fields
from glamm.data.parsing.coco_json import CocoFile, Key
from glamm.data.parsing.image_refs import find_image, stated_size
from glamm.data.record import Record
from glamm.errors import DataError
from glamm.structures.issue import Issue, Location
from glamm.structures.sample import ImageRef, Sample, Task, Turn


def read_captions(
    root: Path,
    content: CocoFile,
    images: tuple[str, ...],
    *,
    name: str,
    split: str,
) -> Iterator[Record | Issue]:
    """Yield the captions of every image, a sample each.

    Args:
        root: Of the data set.
        content: Its file.
        images: Folders that images may be in.
        name: Of the data set.
        split: Of the samples.
    """
    for number, image in content.images.items():
        record = f"image {number}"
        findings: list[Issue] = []
        try:
            image_ref = find_image(
                root, images, json_fields.text(image, "file_name"), size=stated_size(image)
            )
            captions, samples = captions_of(
                content, number, image_ref, name=name, split=split, report=findings.append
            )
        except DataError as error:
            yield Issue.of_record(content.file, record, error.reason, error.field)
            continue
        yield from findings
        if not captions:
            yield Issue.of_record(content.file, record, "has no caption")
            continue
        yield Record(Location(content.file, record), samples, remarks={"captions": captions})


def captions_of(
    content: CocoFile,
    number: Key,
    image_ref: ImageRef,
    *,
    name: str,
    split: str,
    report: Callable[[Issue], None],
) -> tuple[list[dict[str, Any]], tuple[Sample, ...]]:
    """The captions of one image, as JSON and as samples; `report` is told what is no caption."""
    captions: list[dict[str, Any]] = []
    for annotation in content.annotations.get(number, []):
        found = _caption(annotation, content.file, number)
        if isinstance(found, Issue):
            report(found)
        else:
            captions.append(found)
    samples = tuple(
        _sample(caption, image_ref, name=name, split=split, number=number) for caption in captions
    )
    return captions, samples


def _caption(annotation: json_fields.Json, file: str, number: Key) -> dict[str, Any] | Issue:
    where = f"annotation {annotation['id']}.caption"
    try:
        text = json_fields.text(annotation, "caption").strip()
    except DataError as error:
        return Issue.of_part(file, f"image {number}", error.reason, where)
    if not text:
        return Issue.of_part(file, f"image {number}", "has no words", where)
    return {"annotation_id": annotation["id"], "text": text}


def _sample(
    caption: dict[str, Any], image_ref: ImageRef, *, name: str, split: str, number: Key
) -> Sample:
    return Sample(
        sample_id=f"{name}/{split}/{number}/{caption['annotation_id']}",
        task=Task.IMAGE_CAPTIONING,
        dataset=name,
        split=split,
        image=image_ref,
        turns=(Turn("user", None), Turn("assistant", caption["text"])),
    )
