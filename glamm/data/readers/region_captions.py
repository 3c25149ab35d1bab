"""Captions of regions in COCO's form, one file per split.

Source: spec of region captioning (B.2.5); the region readers of the release for RefCOCO, RefCOCOg and Visual Genome.
"""

from dataclasses import dataclass
from pathlib import Path

from glamm.data.parsing.box_filter import MIN_SIDE, BoxedAnnotation, DroppedAnnotation, filter_boxes
from glamm.data.parsing.coco_json import CocoFile, Key
from glamm.data.parsing.json_fields import Json
from glamm.data.parsing.layout import Layout, Text, parse
from glamm.data.readers.coco_reader import CocoReader
from glamm.data.record import Record
from glamm.errors import DataError
from glamm.geometry import boxes
from glamm.structures.issue import IssueLog
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
class RegionCaptionsReader(CocoReader):
    """Reads a data set of regions with captions.

    Upstream: the release trains on boxes that leave the image; here they are clipped.
    """

    def _read_image(
        self, root: Path, split: str, content: CocoFile, image_id: Key, issues: IssueLog
    ) -> Record:
        image_ref = content.find_image(root, self.images, image_id, frame=self.frame)
        if min(image_ref.size) < MIN_SIDE:
            raise DataError(f"picture side below {MIN_SIDE} px")
        regions: list[Region] = []
        dropped: list[DroppedAnnotation] = []
        annotations = content.annotations.get(image_id, [])
        if not annotations:
            issues.add("has no annotation", "annotations")
        for item in filter_boxes(annotations, image_ref.size):
            region = _with_caption(item, content.images[image_id])
            if isinstance(region, Region):
                regions.append(region)
            else:
                dropped.append(region)
                issues.add(region.reason, region.location_field)
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
        return Record(issues.location, (sample,), raw=RegionsRecord(tuple(regions), tuple(dropped)))


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
