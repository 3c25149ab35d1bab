"""JSON of captions of images, also beside instances, and of conversations."""

from typing import Any

from glamm.data.inspection.as_read.samples import object_json, samples_json
from glamm.data.readers.captions import CaptionsRecord
from glamm.data.readers.llava import IMAGE_TAG, LlavaRecord
from glamm.data.record import Record


def captions_json(raw: CaptionsRecord, record: Record) -> dict[str, Any]:
    """Captions with the ids of their annotations; instances with their category, and a target per category."""
    first = record.samples[0]
    result = samples_json(record)
    if raw.captions:
        result["captions"] = [
            {"annotation_id": caption.annotation_id, "text": caption.text}
            for caption in raw.captions
        ]
    if first.objects:
        result["objects"] = [
            object_json(obj, bbox_source="file") | {"labels": list(obj.labels)}
            for obj in first.objects
        ]
        result["targets"] = [
            {"text": target.text, "object_ids": list(target.object_ids)} for target in first.targets
        ]
    return result


def conversation_json(raw: LlavaRecord, _record: Record) -> dict[str, Any]:
    """Turns; for questions also whether they contain the tag of the image."""
    turns: list[dict[str, Any]] = []
    for turn in raw.turns:
        entry: dict[str, Any] = {"role": turn.role, "text": turn.text}
        if turn.role == "user":
            entry["image"] = IMAGE_TAG in turn.value
        turns.append(entry)
    return {"turns": turns}
