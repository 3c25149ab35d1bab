"""JSON of semantic segmentation: label maps, parts of objects, and shapes drawn by people."""

from typing import Any

from glamm.data.inspection.as_read.samples import mask_json, object_json, samples_json
from glamm.data.readers.labeled_shapes import ShapesRecord
from glamm.data.readers.object_parts import ObjectPartsRecord
from glamm.data.readers.semantic_png import LabelMap
from glamm.data.record import Record
from glamm.geometry import masks


def label_map_json(raw: LabelMap, record: Record) -> dict[str, Any]:
    """One target per class number; no objects."""
    result = {key: value for key, value in samples_json(record).items() if key != "objects"}
    targets = [
        {
            "text": obj.labels[0],
            "label_value": obj.id,
            "area": masks.area(obj.mask),
            "mask": mask_json(obj.mask),
        }
        for obj in record.samples[0].objects
        if obj.mask
    ]
    return result | {"label_file": raw.file, "targets": targets}


def object_parts_json(raw: ObjectPartsRecord, record: Record) -> dict[str, Any]:
    """Objects with the boxes of the file; one target per object with all its texts."""
    texts: dict[int, list[str]] = {obj.id: [] for obj in raw.objects}
    for target in record.samples[0].targets:
        texts[target.object_ids[0]].append(target.text)
    objects = [
        object_json(obj, bbox_source="file") | {"labels": list(obj.labels)} for obj in raw.objects
    ]
    targets = [
        {"text_alternatives": texts[obj.id], "object_ids": [obj.id], "category": obj.labels[0]}
        for obj in raw.objects
    ]
    return {"objects": objects, "targets": targets}


def shapes_json(_raw: ShapesRecord, record: Record) -> dict[str, Any]:
    """Objects with their class."""
    objects = [object_json(obj) | {"labels": list(obj.labels)} for obj in record.samples[0].objects]
    return samples_json(record) | {"objects": objects}
