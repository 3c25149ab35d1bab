"""Objects and spans as JSON, the same words for every data set."""

from typing import Any

from glamm.geometry import masks
from glamm.structures.sample import Obj, Span


def shown_object(obj: Obj, remarks: dict[str, Any]) -> dict[str, Any]:
    """An object with its mask; `remarks` are what its layout says beyond."""
    told: dict[str, Any] = {"id": obj.id, "bbox_xyxy": list(obj.box), "bbox_source": "mask"}
    if obj.mask:
        told["mask"] = {"size": list(obj.mask.size), "counts": obj.mask.counts.decode("ascii")}
        told["mask_area"] = masks.area(obj.mask)
    return told | remarks


def shown_span(text: str, span: Span) -> dict[str, Any]:
    """A range with the words in it."""
    return {
        "start": span.start,
        "end": span.end,
        "phrase": text[span.start : span.end],
        "object_ids": list(span.object_ids),
    }
