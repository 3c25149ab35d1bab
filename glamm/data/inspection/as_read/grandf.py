"""JSON of GranD-f: captions with the phrases that were located, also where their ranges overlap."""

from itertools import pairwise
from typing import Any

import numpy as np

from glamm.data.inspection.as_read.referring import sum_of_parts
from glamm.data.inspection.as_read.samples import object_json, samples_json, span_json
from glamm.data.readers.grandf_eval import LabelledCaption
from glamm.data.readers.grandf_refcocog import RefcocogCaption
from glamm.data.readers.grandf_train import MaskedCaption
from glamm.data.record import Record
from glamm.geometry import masks
from glamm.structures.sample import Mask


def masked_caption_json(raw: MaskedCaption, record: Record) -> dict[str, Any]:
    """Phrases with their keys, and what the release trains on: the masks of a phrase added up."""
    spans: list[dict[str, Any]] = []
    for phrase in raw.phrases:
        span = span_json(raw.caption, phrase.span)
        object_ids = span.pop("object_ids")
        spans.append(span | {"key_in_file": phrase.key, "object_ids": object_ids})
    sums = [_sum_of_masks(phrase.masks) for phrase in raw.phrases]
    return samples_json(record) | {
        "text": raw.caption,
        "spans": spans,
        "compat": {"mask_of_each_span_is_the_sum": sums},
    }


def refcocog_caption_json(raw: RefcocogCaption, record: Record) -> dict[str, Any]:
    """Expressions in the order of the text, the caption of the release in small letters, and overlaps."""
    sums = {ref.span.object_ids[0]: sum_of_parts(ref.segmentation) for ref in raw.refs}
    result = samples_json(record)
    result["objects"] = [
        object_json(obj) | {"sum_of_parts": sums[obj.id]} for obj in record.samples[0].objects
    ]
    refs = sorted(raw.refs, key=lambda ref: ref.span.start)
    return result | {
        "key": raw.key,
        "text": raw.caption,
        "text_lowercased": raw.caption.lower(),
        "spans": [
            span_json(raw.caption, ref.span) | {"sentence_in_file": ref.sentence} for ref in refs
        ],
        "sentences_not_in_caption": list(raw.absent),
        "spans_overlap": any(
            first.span.end > second.span.start for first, second in pairwise(refs)
        ),
    }


def labelled_caption_json(raw: LabelledCaption, record: Record) -> dict[str, Any]:
    """Labels of the file, and the spans of those that are in the caption."""
    caption = raw.caption.caption
    return samples_json(record) | {
        "text": caption,
        "spans": [span_json(caption, span) for span in raw.spans],
        "labels": list(raw.caption.labels),
    }


def _sum_of_masks(parts: tuple[Mask, ...]) -> dict[str, int]:
    total = np.sum([masks.decode(mask).astype(np.int64) for mask in parts], axis=0)
    return {"nonzero": int((total > 0).sum()), "sum": int(total.sum()), "max": int(total.max())}
