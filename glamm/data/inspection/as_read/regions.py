"""JSON of captions of regions."""

from typing import Any

from glamm.data.readers.region_captions import RegionsRecord
from glamm.data.record import Record

_EVALUATION_FILES = {("refcocog_region", "eval"), ("visual_genome", "val")}
"""Data sets and splits whose file has one region per entry and is filtered already."""

_MAX_REGIONS = {"visual_genome": 10}
"""How many regions of an image the release asks about at once, for data sets whose images may have more."""


def regions_json(raw: RegionsRecord, record: Record) -> dict[str, Any]:
    """Regions with the boxes of the file, and the annotations that do not count."""
    sample = record.samples[0]
    is_filtered = (sample.dataset, sample.split) in _EVALUATION_FILES
    regions = [
        {
            "bbox_xyxy": list(region.annotation.box),
            "text": region.text,
            "annotation_id": region.annotation.id,
        }
        for region in raw.regions
    ]
    result: dict[str, Any] = {"regions": regions}
    if raw.dropped or not is_filtered:
        result["annotations_left_out"] = [
            {"annotation_id": annotation.id, "reason": annotation.reason}
            for annotation in raw.dropped
        ]
    if sample.dataset in _MAX_REGIONS and not is_filtered:
        result["max_regions_per_sample"] = _MAX_REGIONS[sample.dataset]
    return result
