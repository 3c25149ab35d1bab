"""GranD's captions and attributes as grounded texts and referring expressions."""

from dataclasses import dataclass

from glamm.data.parsing.phrase_spans import Range, disjoint_spans, locate
from glamm.structures.issue import IssueLog
from glamm.structures.sample import Obj, Span, SpanKind, objects_by_id


@dataclass(frozen=True, slots=True)
class Phrase:
    """A phrase of a caption.

    Args:
        text: As the file has it.
        object_ids: What it refers to.
        offsets: The [start, end] of the file, as it is; often wrong.
    """

    text: str
    object_ids: tuple[int, ...]
    offsets: object


@dataclass(frozen=True, slots=True)
class GroundedCaption:
    """A caption whose phrases were searched for.

    Args:
        text: The caption.
        spans: For training: disjoint, and every object is known and has a mask.
        located: Every phrase that is in the text with its range, in file order.
        absent: Phrases that are not in the text.
    """

    text: str
    spans: tuple[Span, ...]
    located: tuple[tuple[Phrase, Range], ...]
    absent: tuple[str, ...]


def ground_caption(
    text: str, phrases: tuple[Phrase, ...], objects: tuple[Obj, ...], issues: IssueLog, field: str
) -> GroundedCaption:
    """Link the phrases of a caption to objects.

    Args:
        text: The caption.
        phrases: In file order.
        objects: Of the image.
        issues: Gets an issue for every phrase that cannot be trained.
        field: Of the caption, for these issues.
    """
    known = objects_by_id(objects)
    located: list[tuple[Phrase, Range]] = []
    absent: list[str] = []
    spans: list[Span] = []
    for phrase in phrases:
        taken = [range_ for _, range_ in located]
        range_ = locate(text, phrase.text, hint=phrase.offsets, taken=taken)
        if range_ is None:
            absent.append(phrase.text)
            issues.add(f"'{phrase.text}' is not in the caption", field)
            continue
        located.append((phrase, range_))
        unmasked = [
            number
            for number in phrase.object_ids
            if number not in known or known[number].mask is None
        ]
        if unmasked or not phrase.object_ids:
            issues.add(f"'{phrase.text}' means objects {unmasked} that have no mask", field)
            continue
        spans.append(Span(*range_, SpanKind.SEG, phrase.object_ids))
    kept = disjoint_spans(text, spans, issues, field)
    return GroundedCaption(text, kept, tuple(located), tuple(absent))


def expressions(obj: Obj) -> tuple[str, ...]:
    """The attributes that name an object.

    A single attribute does. Of several, those do that contain one of the object's labels; without such, the first.

    Source: `prepare_annotations` of the release, referring expressions.
    """
    if len(obj.attributes) <= 1:
        return obj.attributes
    labels = [label.replace("_", " ") for label in obj.labels]
    naming = tuple(text for text in obj.attributes if any(label in text for label in labels))
    return naming or obj.attributes[:1]
