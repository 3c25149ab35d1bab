"""Bring a sample into the one form that is stored: composed Unicode, boxes cut to the image."""

import unicodedata
from dataclasses import replace

from glamm.geometry import boxes
from glamm.structures.sample import Obj, Sample, Span, Target, Turn
from glamm.typing import Size

BOX_TOLERANCE_PX = 1.0
"""How far a box may reach outside its image and be cut without a word: rounding, not error."""


def settle(sample: Sample) -> Sample:
    """Compose Unicode (NFC) with spans moved along, and cut boxes that rounding put outside the image."""
    return replace(
        sample,
        objects=tuple(_cut(obj, sample.image.size) for obj in sample.objects),
        turns=tuple(_compose(turn) for turn in sample.turns),
        targets=tuple(
            Target(unicodedata.normalize("NFC", target.text), target.object_ids)
            for target in sample.targets
        ),
    )


def _cut(obj: Obj, size: Size) -> Obj:
    if boxes.is_inside(obj.box, size=size) or not boxes.is_inside(
        obj.box, size=size, tolerance_px=BOX_TOLERANCE_PX
    ):
        return obj
    return replace(obj, box=boxes.clip(obj.box, size=size))


def _compose(turn: Turn) -> Turn:
    if turn.text is None or unicodedata.is_normalized("NFC", turn.text):
        return turn
    text = turn.text

    def moved(position: int) -> int:
        return len(unicodedata.normalize("NFC", text[:position]))

    spans = tuple(
        Span(moved(span.start), moved(span.end), span.kind, span.object_ids) for span in turn.spans
    )
    return Turn(turn.role, unicodedata.normalize("NFC", text), spans)
