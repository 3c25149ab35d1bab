"""JSON of GranD: objects with attributes, and captions with the phrases that were located."""

import re
from contextlib import suppress
from typing import Any

from glamm.data.inspection.as_read.samples import object_json, samples_json
from glamm.data.parsing import json_fields
from glamm.data.parsing.layout import Items, Layout, parse
from glamm.data.parsing.phrase_spans import checked_range
from glamm.data.readers.grand import GrandRecord
from glamm.data.readers.grand_layout import GrandObject
from glamm.data.readers.grand_phrases import GroundedCaption
from glamm.data.record import Record
from glamm.errors import DataError

_ROLE_ANYWHERE = re.compile(r"\b(?:ass)?istant:?\s*", re.IGNORECASE)


class _Affordance(Layout):
    object_ids: Items[object] = ()


def grand_json(raw: GrandRecord, record: Record) -> dict[str, Any]:
    """Objects and captions as in the file, with every phrase that is in its caption."""
    objects = record.samples[0].objects
    result = samples_json(record)
    if "objects" in result:
        result["objects"] = [
            object_json(obj, bbox_source="file")
            | _layout_json(raw.objects[obj.id])
            | {"floating": obj.id in raw.floating_ids}
            for obj in objects
        ]
    return result | {
        "dense": _dense_json(raw.dense) if raw.dense else None,
        "short": [_caption_json(caption) for caption in raw.shorts],
        "stale_affordance_ids": sorted(_affordance_ids(raw) - set(raw.objects)),
        "landmark": raw.image.landmark or None,
        "context": raw.image.additional_context or None,
        "object_without_mask": [
            obj.id for obj in objects if obj.mask is None and obj.id not in raw.floating_ids
        ],
    }


def _layout_json(layout: GrandObject) -> dict[str, Any]:
    return {
        "labels": list(layout.labels),
        "label": layout.label,
        "attributes": list(layout.attributes),
        "attributes_cleaned_compat": [_ROLE_ANYWHERE.sub("", text) for text in layout.attributes],
        "attributes_prefix_stripped": list(layout.attributes_without_role),
        "score": layout.score,
        "depth": layout.depth,
        "source": layout.segmentation_source,
    }


def _caption_json(caption: GroundedCaption) -> dict[str, Any]:
    return {
        "text": caption.text,
        "spans": [
            {
                "start": start,
                "end": end,
                "phrase": phrase.text,
                "object_ids": list(phrase.object_ids),
            }
            for phrase, (start, end) in caption.located
        ],
    }


def _dense_json(caption: GroundedCaption) -> dict[str, Any]:
    """A caption, whether the offsets in the file are right, and the phrases that are not in the text."""
    result = _caption_json(caption)
    for span, (phrase, _) in zip(result["spans"], caption.located, strict=True):
        stated = checked_range(phrase.offsets, caption.text)
        span["file_offsets_are_right"] = (
            stated is not None and caption.text[slice(*stated)].lower() == phrase.text.lower()
        )
    return result | {"phrases_not_in_text": list(caption.absent)}


def _affordance_ids(raw: GrandRecord) -> set[int]:
    """Ids of the objects with affordances."""
    entries = raw.image.affordances.values() if isinstance(raw.image.affordances, dict) else ()
    ids: set[int] = set()
    for entry in entries:
        try:
            affordance = parse(_Affordance, entry)
        except DataError:
            continue
        for number in affordance.object_ids:
            with suppress(DataError):
                ids.add(json_fields.integer(number, "object_ids"))
    return ids
