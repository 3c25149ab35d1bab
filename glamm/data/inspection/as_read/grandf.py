"""GranD-f as JSON."""

from typing import Any

import numpy as np

from glamm.data.inspection.as_read.samples import object_json, span_json
from glamm.data.readers.grandf_train import MaskedCaption
from glamm.data.record import Record
from glamm.geometry import masks
from glamm.structures.sample import Mask


def masked_caption_json(raw: MaskedCaption, record: Record) -> dict[str, Any]:
    """Spans as in the file, and what the release trains on: the masks of a phrase added up."""
    return {
        "objects": [object_json(obj) for obj in record.samples[0].objects],
        "text": raw.caption,
        "spans": [
            _with_key(span_json(raw.caption, phrase.span), phrase.key) for phrase in raw.phrases
        ],
        "compat": {
            "mask_of_each_span_is_the_sum": [_sum_of_masks(phrase.masks) for phrase in raw.phrases]
        },
    }


def _with_key(span: dict[str, Any], key: str) -> dict[str, Any]:
    object_ids = span.pop("object_ids")
    return {**span, "key_in_file": key, "object_ids": object_ids}


def _sum_of_masks(parts: tuple[Mask, ...]) -> dict[str, int]:
    total = np.sum([masks.decode(mask).astype(np.int64) for mask in parts], axis=0)
    return {"nonzero": int((total > 0).sum()), "sum": int(total.sum()), "max": int(total.max())}
