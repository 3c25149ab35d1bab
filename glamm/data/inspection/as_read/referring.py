"""JSON of referring expressions: objects and expressions as the files have them."""

from typing import Any

import numpy as np

from glamm.data.inspection.as_read.samples import object_json
from glamm.data.parsing.coco_segmentation import Segmentation
from glamm.data.readers.referring import ReferringRecord
from glamm.data.record import Record
from glamm.geometry import masks
from glamm.structures.sample import Obj


def referring_json(raw: ReferringRecord, _record: Record) -> dict[str, Any]:
    """Objects with the boxes of the file, also those without pixels, and all expressions with their ids."""
    objects: list[dict[str, Any]] = []
    for referred in raw.objects:
        obj = Obj(id=referred.id, box=referred.box, mask=referred.segmentation.mask)
        sums = {"sum_of_parts": sum_of_parts(referred.segmentation)}
        objects.append(object_json(obj, bbox_source="file") | sums)
    targets = [
        {
            "text": expression.text,
            "object_ids": list(expression.object_ids),
            "ref_id": expression.ref_id,
            "sent_id": expression.sent_id,
        }
        for expression in raw.expressions
    ]
    return {"objects": objects, "targets": targets}


def sum_of_parts(segmentation: Segmentation) -> dict[str, int]:
    """Sum and maximum of the parts added up as numbers, which is what the release trains on."""
    total = sum(masks.area(part) for part in segmentation.parts)
    if total == segmentation.area:
        return {"sum": total, "max": int(total > 0)}
    pixels = np.sum([masks.decode(part).astype(np.int64) for part in segmentation.parts], axis=0)
    return {"sum": total, "max": int(pixels.max())}
