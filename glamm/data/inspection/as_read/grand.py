"""JSON of GranD: its files, and its tables for pretraining."""

import re
from pathlib import Path
from typing import Any

from glamm.data.inspection.as_read.samples import object_json, samples_json
from glamm.data.parsing.phrase_spans import checked_range
from glamm.data.readers.grand import GrandObject, GrandRecord
from glamm.data.readers.grand_lmdb import TABLES, read_table
from glamm.data.readers.grand_phrases import GroundedCaption
from glamm.data.record import Record
from glamm.structures.issue import Issue

_ROLE_ANYWHERE = re.compile(r"\b(?:ass)?istant:?\s*", re.IGNORECASE)


def grand_json(raw: GrandRecord, record: Record) -> dict[str, Any]:
    """Objects and captions as in the file, with all phrases that were located."""
    objects = record.samples[0].objects
    result = samples_json(record) | {
        "dense": _caption_json(raw.dense) | _details_json(raw.dense) if raw.dense else None
    }
    return result
