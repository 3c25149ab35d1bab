"""Ranges of a text that belong to objects: found again by search, sorted, not overlapping."""

import re
from collections.abc import Iterable, Sequence

from glamm.structures.sample import Span, SpanKind

Range = tuple[int, int]


def locate(
    text: str, phrase: str, *, hint: object = None, taken: Sequence[Range] = ()
) -> Range | None:
    """Find a phrase in a text, whatever the case.

    Args:
        text: Plain words.
        phrase: What to look for.
        hint: The file's own [start, end]; used where it really covers the phrase, which tells repeated phrases apart.
        taken: Ranges of phrases found before; a free occurrence is preferred to one among them.

    Returns:
        (start, end) code points, or None. Whole words are preferred to a part of a word.
    """
    hinted = checked_range(hint, text)
    if hinted and text[slice(*hinted)].casefold() == phrase.casefold():
        return hinted
    if not phrase.strip():
        return None
    everywhere = [found.span() for found in re.finditer(re.escape(phrase), text, re.IGNORECASE)]
    words = [place for place in everywhere if _is_whole_word(text, place)]
    candidates = [*words, *everywhere]
    free = (place for place in candidates if not any(_overlap(place, other) for other in taken))
    return next(free, candidates[0] if candidates else None)


def checked_range(value: object, text: str) -> Range | None:
    """[start, end] of a file where it is a range of the text that holds something; else None."""
    match value:
        case [int(start), int(end)] if 0 <= start < end <= len(text):
            return start, end
    return None


def settle_spans(spans: Iterable[Span]) -> tuple[tuple[Span, ...], tuple[Span, ...]]:
    """Sort spans and make them disjoint.

    Equal ranges become one span with the objects of all. Of two that overlap, the longer one stays.

    Returns:
        What stays and what had to go.
    """
    merged: dict[Range, Span] = {}
    for span in spans:
        known = merged.get((span.start, span.end))
        ids = (*known.object_ids, *span.object_ids) if known else span.object_ids
        merged[span.start, span.end] = Span(
            span.start, span.end, SpanKind.SEG, tuple(dict.fromkeys(ids))
        )
    kept: list[Span] = []
    gone: list[Span] = []
    for span in sorted(merged.values(), key=lambda item: (item.start - item.end, item.start)):
        clashes = any(_overlap((span.start, span.end), (other.start, other.end)) for other in kept)
        (gone if clashes else kept).append(span)
    return tuple(sorted(kept, key=lambda item: item.start)), tuple(gone)


def _overlap(one: Range, two: Range) -> bool:
    return one[0] < two[1] and two[0] < one[1]


def _is_whole_word(text: str, place: Range) -> bool:
    start, end = place
    return not (text[start - 1 : start].isalnum() or text[end : end + 1].isalnum())
