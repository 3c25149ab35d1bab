"""Captions of regions in COCO's form, one file a split.

Source: spec of region captioning (B.2.5); `RefCOCO`, `RefCOCOg` and `VisualGenome` region readers of the release.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from glamm.data.parsing import json_fields
from glamm.data.parsing.box_filter import MIN_SIDE, Boxed, LeftOut, boxed
from glamm.data.parsing.coco_json import CocoFile, Key, read_coco, read_images
from glamm.data.parsing.dataset_paths import find_file
from glamm.data.parsing.image_refs import find_image, stated_size
from glamm.data.record import Record
from glamm.errors import DataError
from glamm.geometry import boxes
from glamm.structures.issue import Issue, Location
from glamm.structures.sample import Obj, Sample, Target, Task


@dataclass(frozen=True, slots=True)
class RegionFiles:
    """Where a data set of regions is.

    Args:
        name: Of the data set.
        files: Paths that a split's file may have, by split.
        images: Folders that images may be in.
        evaluated: Splits whose file has one region a row and was filtered by its maker.
        most: Regions that the release asks about at once; shown where an image may have more.
    """

    name: str
    files: dict[str, tuple[str, ...]]
    images: tuple[str, ...]
    evaluated: frozenset[str] = frozenset()
    most: int | None = None

    def is_in(self, root: Path) -> bool:
        """Whether the data set is below a folder."""
        return any(find_file(root, names) for names in self.files.values())

    def read(self, root: Path, split: str) -> Iterator[Record | Issue]:
        """Yield a record an image row.

        Upstream: boxes that leave the image are kept as they are; here what is trained is cut to the image.
        """
        path = find_file(root, self.files.get(split, ()))
        if path is None:
            return
        content = read_coco(root, path)
        yield from content.findings
        read = partial(self._read_image, root, split, content)
        yield from read_images(content, read)

    def _read_image(
        self, root: Path, split: str, content: CocoFile, number: Key
    ) -> Iterator[Record | Issue]:
        image = content.images[number]
        record = f"image {number}"
        image_ref = find_image(
            root, self.images, json_fields.text(image, "file_name"), size=stated_size(image)
        )
        if min(image_ref.size) < MIN_SIDE:
            raise DataError(f"picture side below {MIN_SIDE} px")
        regions: list[tuple[Boxed, str]] = []
        left_out: list[LeftOut] = []
        for item in boxed(content.annotations.get(number, []), image_ref.size):
            text = _text(item, image)
            if isinstance(text, str) and isinstance(item, Boxed):
                regions.append((item, text))
            elif isinstance(text, LeftOut):
                left_out.append(text)
        for item in left_out:
            yield item.issue(content.file, record)
        sample = Sample(
            sample_id=f"{self.name}/{split}/{number}",
            task=Task.REGION_CAPTIONING,
            dataset=self.name,
            split=split,
            image=image_ref,
            objects=tuple(
                Obj(item.id, boxes.clip(item.box, size=image_ref.size)) for item, _ in regions
            ),
            targets=tuple(Target(text, (item.id,)) for item, text in regions),
        )
        told: dict[str, Any] = {
            "regions": [
                {"bbox_xyxy": list(item.box), "text": text, "annotation_id": item.id}
                for item, text in regions
            ]
        }
        if left_out or split not in self.evaluated:
            told["annotations_left_out"] = [item.shown() for item in left_out]
        if self.most and split not in self.evaluated:
            told["max_regions_per_sample"] = self.most
        yield Record(Location(content.file, record), (sample,), remarks=told)


def _text(item: Boxed | LeftOut, image: json_fields.Json) -> str | LeftOut:
    """The words for a region: its own, or those of its image's row."""
    if isinstance(item, LeftOut):
        return item
    owner = item.annotation if item.annotation.get("caption") is not None else image
    try:
        text = json_fields.text(owner, "caption").strip()
    except DataError as error:
        return LeftOut(item.id, error.reason, error.field)
    return text or LeftOut(item.id, "has no words", "caption")
