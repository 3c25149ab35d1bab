"""GranD's captions and attributes as grounded texts and expressions."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from glamm.data.parsing.phrase_spans import Range, checked_range, locate, settle_spans
from glamm.structures.sample import Obj, Span, SpanKind, objects_by_id


@dataclass(frozen=True, slots=True)
class Phrase:
    """A detail of a caption as the file has it; `offsets` are often wrong."""

    text: str
    ids: tuple[int, ...]
    offsets: object


@dataclass(frozen=True, slots=True)
class GroundedCaption:
    """A caption with its phrases found again.

    Args:
        text: The caption.
        spans: What can be trained: disjoint, every object known and with a mask.
        located: Every phrase that is in the text, in file order.
        absent: Phrases that are not.
    """

    text: str
    spans: tuple[Span, ...]
    located: tuple[tuple[Phrase, Range], ...]
    absent: tuple[str, ...]

    def shown(self, *, is_dense: bool) -> dict[str, Any]:
        """As JSON for `glamm data read`."""
        spans: list[dict[str, Any]] = []
        for phrase, (start, end) in self.located:
            span: dict[str, Any] = {
                "start": start,
                "end": end,
                "phrase": phrase.text,
                "object_ids": list(phrase.ids),
            }
            if is_dense:
                hint = checked_range(phrase.offsets, self.text)
                span["file_offsets_are_right"] = (
                    hint is not None and self.text[slice(*hint)].lower() == phrase.text.lower()
                )
            spans.append(span)
        return {"text": self.text, "spans": spans} | (
            {"phrases_not_in_text": list(self.absent)} if is_dense else {}
        )


def ground(
    caption: tuple[str, list[Phrase]],
    objects: tuple[Obj, ...],
    report: Callable[[str, str], object],
    *,
    where: str,
) -> GroundedCaption:
    """Tie the phrases of a caption to its objects.

    Args:
        caption: Text and details.
        objects: Of the image.
        report: Told what had to be left out.
        where: Field name for the report.
    """
    text, phrases = caption
    known = objects_by_id(objects)
    located: list[tuple[Phrase, Range]] = []
    absent: list[str] = []
    spans: list[Span] = []
    for phrase in phrases:
        place = locate(
            text, phrase.text, hint=phrase.offsets, taken=[taken for _, taken in located]
        )
        if place is None:
            absent.append(phrase.text)
            report(f"'{phrase.text}' is not in the caption", where)
            continue
        located.append((phrase, place))
        without = [
            number for number in phrase.ids if number not in known or known[number].mask is None
        ]
        if without or not phrase.ids:
            report(f"'{phrase.text}' means objects {without} that have no mask", where)
            continue
        spans.append(Span(*place, SpanKind.SEG, phrase.ids))
    kept, gone = settle_spans(spans)
    for span in gone:
        report(f"'{text[span.start : span.end]}' overlaps a longer phrase", where)
    return GroundedCaption(text, kept, tuple(located), tuple(absent))


def expressions(obj: Obj) -> tuple[str, ...]:
    """Which attributes name an object: one alone does; of several those with one of its labels, else the first.

    Source: `prepare_annotations` of the release, referring expressions.
    """
    if len(obj.attributes) <= 1:
        return obj.attributes
    labels = [label.replace("_", " ") for label in obj.labels]
    naming = tuple(text for text in obj.attributes if any(label in text for label in labels))
    return naming or obj.attributes[:1]
