"""JSON of Flickr30k's captions with boxes."""

from collections import defaultdict
from typing import Any

from glamm.data.inspection.as_read.samples import object_json, span_json
from glamm.data.parsing.phrase_spans import Range
from glamm.data.readers.flickr30k import FlickrCaption, PhraseObject
from glamm.data.record import Record
from glamm.structures.sample import Span, SpanKind


def flickr30k_json(raw: FlickrCaption, _record: Record) -> dict[str, Any]:
    """Objects with the boxes of the file, spans also where they overlap, and the annotations that do not count."""
    by_range: dict[Range, list[PhraseObject]] = defaultdict(list)
    for phrase in raw.phrases:
        by_range[phrase.range].append(phrase)
    return {
        "objects": [object_json(phrase.annotated, bbox_source="file") for phrase in raw.phrases],
        "text": raw.caption,
        "spans": [
            _span(raw.caption, *item) for item in sorted(by_range.items(), key=lambda item: item[0])
        ],
        "annotations_left_out": [
            {"annotation_id": annotation.id, "reason": annotation.reason}
            for annotation in raw.dropped
        ],
    }


def _span(caption: str, range_: Range, phrases: list[PhraseObject]) -> dict[str, Any]:
    ids = tuple(phrase.annotated.id for phrase in phrases)
    result = span_json(caption, Span(*range_, SpanKind.SEG, ids))
    further = [item for phrase in phrases for item in phrase.further_ranges]
    return result | ({"further_spans_in_file": further} if further else {})
