"""Phrases of a text as ranges: found by search, sorted, and made disjoint. Ranges count code points."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import cast

from glamm.data.parsing import json_fields
from glamm.errors import DataError
from glamm.structures.issue import IssueLog
from glamm.structures.sample import Span, SpanKind

Range = tuple[int, int]
"""Start and end; the end is exclusive."""


def locate(
    text: str, phrase: str, *, hint: object = None, taken: Sequence[Range] = ()
) -> Range | None:
    """Find a phrase in a text; upper and lower case, all blanks, and composed and decomposed letters are the same.

    Args:
        text: Where to search.
        phrase: What to search for.
        hint: The range that the file states. It is used where the text has the phrase there, which distinguishes
            repeated phrases.
        taken: Ranges of phrases found before. An occurrence that overlaps none of them is preferred.

    Returns:
        The range, or None. Occurrences that are whole words are preferred.
    """
    hinted = checked_range(hint, text)
    if hinted and text[slice(*hinted)].casefold() == phrase.casefold():
        return hinted
    if not phrase.strip():
        return None
    occurrences = [match.span() for match in _pattern(phrase).finditer(text)]
    whole_words = [range_ for range_ in occurrences if _is_whole_word(text, range_)]
    candidates = [*whole_words, *occurrences]
    free = (range_ for range_ in candidates if not any(overlap(range_, other) for other in taken))
    return next(free, candidates[0] if candidates else None)


def _pattern(phrase: str) -> re.Pattern[str]:
    forms = dict.fromkeys(
        (phrase, *(unicodedata.normalize(form, phrase) for form in ("NFC", "NFD")))
    )
    ways = (r"\s+".join(map(re.escape, form.split())) for form in forms)
    return re.compile("|".join(ways), re.IGNORECASE)


def checked_range(value: object, text: str) -> Range | None:
    """The [start, end] of a file if it is a range of the text that is not empty; otherwise None."""
    start, end = _start_and_end(value)
    return (start, end) if 0 <= start < end <= len(text) else None


def clipped_range(value: object, text: str) -> Range | None:
    """As `checked_range`, but an end behind that of the text means the end of the text."""
    start, end = _start_and_end(value)
    return checked_range([start, min(end, len(text))], text)


def _start_and_end(value: object) -> Range:
    """The two numbers of a [start, end]; -1 twice for anything else."""
    if not isinstance(value, list | tuple) or len(cast("Sequence[object]", value)) != 2:
        return -1, -1
    try:
        start, end = (json_fields.integer(item, "") for item in cast("Sequence[object]", value))
    except DataError:
        return -1, -1
    return start, end


def merge_spans(spans: Iterable[Span]) -> tuple[tuple[Span, ...], tuple[Span, ...]]:
    """Sort spans and make them disjoint.

    Spans with the same range become one span with the objects of all. Of two that overlap, the longer one is kept.

    Returns:
        The spans that are kept, and those that are dropped.
    """
    merged: dict[Range, Span] = {}
    for span in spans:
        known = merged.get((span.start, span.end))
        ids = (*known.object_ids, *span.object_ids) if known else span.object_ids
        merged[span.start, span.end] = Span(
            span.start, span.end, SpanKind.SEG, tuple(dict.fromkeys(ids))
        )
    kept: list[Span] = []
    dropped: list[Span] = []
    for span in sorted(merged.values(), key=lambda item: (item.start - item.end, item.start)):
        overlaps = any(overlap((span.start, span.end), (other.start, other.end)) for other in kept)
        (dropped if overlaps else kept).append(span)
    return tuple(sorted(kept, key=lambda item: item.start)), tuple(dropped)


def disjoint_spans(
    text: str, spans: Iterable[Span], issues: IssueLog, field: str
) -> tuple[Span, ...]:
    """The spans of a text that `merge_spans` keeps; every dropped one is an issue of the field."""
    kept, dropped = merge_spans(spans)
    for span in dropped:
        issues.add(f"'{text[span.start : span.end]}' overlaps a longer phrase", field)
    return kept


def overlap(first: Range, second: Range) -> bool:
    """Whether two ranges have a character in common."""
    return first[0] < second[1] and second[0] < first[1]


def _is_whole_word(text: str, range_: Range) -> bool:
    start, end = range_
    return not (text[start - 1 : start].isalnum() or text[end : end + 1].isalnum())
