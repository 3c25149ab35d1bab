"""COCO's captions of 2017: about five per image.

Source: spec of captions (B.2.6).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from glamm.data.parsing.coco_json import CocoFile, Key, read_coco
from glamm.data.parsing.dataset_paths import find_file
from glamm.data.parsing.layout import Layout, Text, parse
from glamm.data.record import Record, read_record
from glamm.errors import DataError
from glamm.structures.issue import Issue, IssueLog, Location
from glamm.structures.sample import Frame, ImageRef, Sample, Task, Turn


class CocoCaption(Layout):
    """An entry of `annotations` that describes an image."""

    caption: Text


@dataclass(frozen=True, slots=True)
class Caption:
    """A caption that is not empty.

    Args:
        annotation_id: Unique in its file.
        text: Without blanks around it.
    """

    annotation_id: Key
    text: str


@dataclass(frozen=True, slots=True)
class CaptionsRecord:
    """The captions of an image, in file order."""

    captions: tuple[Caption, ...]


class CocoCaptionsReader:
    """Reads captions of whole images.

    Upstream: the release draws a random annotation, whatever index it was asked for.
    """

    name = "coco_captions_2017"
    splits = ("train", "val")
    frame = Frame.BY_SIZE
    looked_for = ("coco_2017/annotations/captions_train2017.json", "the same with val2017")

    def exists_in(self, root: Path) -> bool:
        """Whether the captions of a split are below a folder."""
        return any(self._path(root, split) for split in self.splits)

    def read(self, root: Path, split: str) -> Iterator[Record | Issue]:
        """Yield one record per image, with one sample per caption."""
        path = self._path(root, split)
        if path is None:
            return
        content = read_coco(root, path)
        yield from content.issues
        for image_id in content.images:
            read = partial(self._read_image, root, split, content, image_id)
            yield from read_record(Location(content.file, f"image {image_id}"), read)

    def _path(self, root: Path, split: str) -> Path | None:
        return find_file(root, [f"coco_2017/annotations/captions_{split}2017.json"])

    def _read_image(
        self, root: Path, split: str, content: CocoFile, image_id: Key, issues: IssueLog
    ) -> Record:
        folders = (f"coco_2017/{split}2017", "coco_2017/train2017", "coco_2017/val2017")
        image_ref = content.find_image(root, folders, image_id, frame=self.frame)
        captions = captions_of(content, image_id, issues)
        if not captions:
            raise DataError("has no caption")
        samples = caption_samples(
            captions,
            image_ref,
            sample_id=f"{self.name}/{split}/{image_id}",
            dataset=self.name,
            split=split,
        )
        return Record(issues.location, samples, raw=CaptionsRecord(captions))


def captions_of(content: CocoFile, image_id: Key, issues: IssueLog) -> tuple[Caption, ...]:
    """The captions of an image in file order.

    Args:
        content: A file with captions.
        image_id: A key of its images.
        issues: Gets an issue for every annotation that is no caption.
    """
    captions: list[Caption] = []
    for annotation in content.annotations.get(image_id, []):
        annotation_id = annotation["id"]
        field = f"annotation {annotation_id}.caption"
        try:
            text = parse(CocoCaption, annotation).caption.strip()
        except DataError as error:
            issues.add(error.reason, field)
            continue
        if text:
            captions.append(Caption(annotation_id, text))
        else:
            issues.add("is empty", field)
    return tuple(captions)


def caption_samples(
    captions: Sequence[Caption], image_ref: ImageRef, *, sample_id: str, dataset: str, split: str
) -> tuple[Sample, ...]:
    """One sample per caption.

    Args:
        captions: Of the image.
        image_ref: The image.
        sample_id: Prefix of the samples' ids; the annotation's id follows.
        dataset: Name of the data set.
        split: train, val or test.
    """
    return tuple(
        Sample(
            sample_id=f"{sample_id}/{caption.annotation_id}",
            task=Task.IMAGE_CAPTIONING,
            dataset=dataset,
            split=split,
            image=image_ref,
            turns=(Turn("user", None), Turn("assistant", caption.text)),
        )
        for caption in captions
    )
