"""Captions of regions in COCO's form, one file per split.

Source: spec of region captioning (B.2.5); the region readers of the release for RefCOCO, RefCOCOg and Visual Genome.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from glamm.data.parsing.box_filter import MIN_SIDE, BoxedAnnotation, DroppedAnnotation, filter_boxes
from glamm.data.parsing.coco_json import CocoFile, Key, read_coco, read_images
from glamm.data.parsing.dataset_paths import find_file
from glamm.data.parsing.json_fields import Json
from glamm.data.parsing.layout import Layout, Text, parse
from glamm.data.record import Record
from glamm.errors import DataError
from glamm.geometry import boxes
from glamm.structures.issue import Issue, Location
from glamm.structures.sample import Obj, Sample, Target, Task


class Captioned(Layout):
    """An annotation or an image with a caption."""

    caption: Text


@dataclass(frozen=True, slots=True)
class Region:
    """A region with its caption; the box is that of the file."""

    annotation: BoxedAnnotation
    text: str


@dataclass(frozen=True, slots=True)
class RegionsRecord:
    """All that a data set says about one image.

    Args:
        regions: In file order.
        dropped: Annotations that do not count.
    """

    regions: tuple[Region, ...]
    dropped: tuple[DroppedAnnotation, ...]


@dataclass(frozen=True, slots=True)
class RegionCaptionsReader:
    """Reads a data set of regions with captions.

    Args:
        name: Name of the data set.
        files: By split, the relative paths that its annotation file may have.
        images: Relative folders that may hold the images, in the order in which they are tried.

    Upstream: the release trains on boxes that leave the image; here they are clipped.
    """

    name: str
    files: Mapping[str, tuple[str, ...]]
    images: tuple[str, ...]

    @property
    def splits(self) -> tuple[str, ...]:
        """Those that have a file."""
        return tuple(self.files)

    def exists_in(self, root: Path) -> bool:
        """Whether the file of a split is below a folder."""
        return any(find_file(root, names) for names in self.files.values())

    def read(self, root: Path, split: str) -> Iterator[Record | Issue]:
        """Yield one record per entry of `images`."""
        path = find_file(root, self.files.get(split, ()))
        if path is None:
            return
        content = read_coco(root, path)
        yield from content.issues
        yield from read_images(content, partial(self._read_image, root, split, content))

    def _read_image(
        self, root: Path, split: str, content: CocoFile, image_id: Key
    ) -> Iterator[Record | Issue]:
        location = Location(content.file, f"image {image_id}")
        image_ref = content.find_image(root, self.images, image_id)
        if min(image_ref.size) < MIN_SIDE:
            raise DataError(f"picture side below {MIN_SIDE} px")
        regions: list[Region] = []
        dropped: list[DroppedAnnotation] = []
        annotations = content.annotations.get(image_id, [])
        for item in filter_boxes(annotations, image_ref.size):
            region = _with_caption(item, content.images[image_id])
            if isinstance(region, Region):
                regions.append(region)
            else:
                dropped.append(region)
                yield region.issue(content.file, f"image {image_id}")
        objects = (
            Obj(region.annotation.id, boxes.clip(region.annotation.box, size=image_ref.size))
            for region in regions
        )
        sample = Sample(
            sample_id=f"{self.name}/{split}/{image_id}",
            task=Task.REGION_CAPTIONING,
            dataset=self.name,
            split=split,
            image=image_ref,
            objects=tuple(objects),
            targets=tuple(Target(region.text, (region.annotation.id,)) for region in regions),
        )
        yield Record(location, (sample,), raw=RegionsRecord(tuple(regions), tuple(dropped)))


def _with_caption(
    item: BoxedAnnotation | DroppedAnnotation, image: Json
) -> Region | DroppedAnnotation:
    """An annotation with its own caption, or else with that of its image's entry."""
    if isinstance(item, DroppedAnnotation):
        return item
    has_own = item.annotation.get("caption") is not None
    try:
        text = parse(Captioned, item.annotation if has_own else image).caption.strip()
    except DataError as error:
        return DroppedAnnotation(item.id, error.reason, error.field)
    return Region(item, text) if text else DroppedAnnotation(item.id, "is empty", "caption")
