"""Normalizes a sample before it is stored: composed Unicode, boxes clipped to the image."""

import unicodedata
from dataclasses import replace

from glamm.geometry import boxes
from glamm.structures.sample import Obj, Sample, Span, Target, Turn
from glamm.typing import Size

BOX_TOLERANCE_PX = 1.0
"""A box that is outside its image by at most this much is clipped without an issue: it is a rounding error."""


def normalize_sample(sample: Sample) -> Sample:
    """Compose Unicode (NFC), with spans adjusted, and clip boxes that are outside the image by a rounding error."""
    return replace(
        sample,
        objects=tuple(_clip_box(obj, sample.image.size) for obj in sample.objects),
        turns=tuple(_compose_text(turn) for turn in sample.turns),
        targets=tuple(
            Target(unicodedata.normalize("NFC", target.text), target.object_ids)
            for target in sample.targets
        ),
    )


def _clip_box(obj: Obj, size: Size) -> Obj:
    if boxes.is_inside(obj.box, size=size) or not boxes.is_inside(
        obj.box, size=size, tolerance_px=BOX_TOLERANCE_PX
    ):
        return obj
    return replace(obj, box=boxes.clip(obj.box, size=size))


def _compose_text(turn: Turn) -> Turn:
    if turn.text is None or unicodedata.is_normalized("NFC", turn.text):
        return turn
    text = turn.text

    def new_index(index: int) -> int:
        return len(unicodedata.normalize("NFC", text[:index]))

    spans = tuple(
        Span(new_index(span.start), new_index(span.end), span.kind, span.object_ids)
        for span in turn.spans
    )
    return Turn(turn.role, unicodedata.normalize("NFC", text), spans)
