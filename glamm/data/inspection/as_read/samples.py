"""Samples, objects and spans as JSON, with the same keys for every data set."""

from typing import Any

from glamm.data.record import Record
from glamm.geometry import masks
from glamm.structures.sample import Mask, Obj, Sample, Span, Task, objects_by_id

_TASKS_WITH_OBJECTS = {
    Task.GROUNDED_CONVERSATION,
    Task.REFERRING_SEGMENTATION,
    Task.SEMANTIC_SEGMENTATION,
    Task.PHRASE_GROUNDING,
}


def samples_json(record: Record) -> dict[str, Any]:
    """The objects of a record, and its conversation or targets where it has one sample only.

    This is all that the JSON has about a record whose `raw` is None.
    """
    first = record.samples[0]
    result: dict[str, Any] = {}
    if first.task in _TASKS_WITH_OBJECTS:
        result["objects"] = [object_json(obj) for obj in first.objects]
    if len(record.samples) == 1 and record.is_trainable:
        result |= _sample_json(first)
    return result


def object_json(obj: Obj, *, bbox_source: str = "mask") -> dict[str, Any]:
    """An object with its box, x1, y1, x2, y2 in pixels, and its mask.

    Args:
        obj: The object.
        bbox_source: "file" for a box of the annotation file, "mask" for the bounding box of the mask.
    """
    result: dict[str, Any] = {
        "id": obj.id,
        "bbox_xyxy": list(obj.box),
        "bbox_source": bbox_source,
    }
    if obj.mask:
        result["mask"] = mask_json(obj.mask)
        result["mask_area"] = masks.area(obj.mask)
    return result


def mask_json(mask: Mask) -> dict[str, Any]:
    """A mask as a compressed COCO run-length code; `size` is [height, width]."""
    return {"size": list(mask.size), "counts": mask.counts.decode("ascii")}


def span_json(text: str, span: Span) -> dict[str, Any]:
    """A range of a text, in code points, and the phrase in it."""
    return {
        "start": span.start,
        "end": span.end,
        "phrase": text[span.start : span.end],
        "object_ids": list(span.object_ids),
    }


def _sample_json(sample: Sample) -> dict[str, Any]:
    if sample.task is Task.REGION_CAPTIONING:
        objects = objects_by_id(sample.objects)
        return {
            "regions": [
                {"bbox_xyxy": list(objects[target.object_ids[0]].box), "text": target.text}
                for target in sample.targets
            ]
        }
    if sample.targets:
        return {
            "targets": [
                {"text": target.text, "object_ids": list(target.object_ids)}
                for target in sample.targets
            ]
        }
    if sample.task is Task.IMAGE_CAPTIONING:
        return {"captions": [{"text": sample.turns[1].text}]}
    if sample.task is Task.VQA or len(sample.turns) > len(("user", "assistant")):
        return {"turns": [{"role": turn.role, "text": turn.text} for turn in sample.turns]}
    answer = sample.turns[1]
    text = answer.text or ""
    return {"text": text, "spans": [span_json(text, span) for span in answer.spans]}
