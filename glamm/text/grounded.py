"""Grounded captions: plain words with spans, and the same with `<p> words </p> [SEG]`."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from glamm.special_tokens import ADDED_TOKENS, BOX, PHRASE_END, PHRASE_START, SEG
from glamm.structures.sample import Span, SpanKind

_TAGS = re.compile("(" + "|".join(map(re.escape, ADDED_TOKENS)) + ")")
_BLANKS = re.compile(r"\s+")
_BLANK_BEFORE_PUNCTUATION = re.compile(r"\s+([,.;:!?])")


@dataclass(frozen=True, slots=True)
class GroundedText:
    """Plain words and, for each [SEG], the range of words it belongs to.

    Args:
        text: Without special tokens.
        ranges: (start, end) code points, one a [SEG] in order; an empty range where the mask has no words.
    """

    text: str
    ranges: tuple[tuple[int, int], ...]


def render_grounded(text: str, spans: Sequence[Span]) -> str:
    """Write the special tokens into a text.

    Args:
        text: Plain words.
        spans: Sorted, not overlapping.

    Returns:
        SEG spans as `<p> words </p> [SEG]`, SEG_ONLY as `[SEG]`, REGION as `words <bbox>`.
    """
    parts: list[str] = []
    cursor = 0
    for span in spans:
        words = text[span.start : span.end]
        parts.append(text[cursor : span.start])
        if span.kind is SpanKind.SEG:
            parts.append(f"{PHRASE_START} {words} {PHRASE_END} {SEG}")
        elif span.kind is SpanKind.SEG_ONLY:
            parts.append(SEG)
        else:
            parts.append(f"{words} " + ",".join([BOX] * len(span.object_ids)))
        cursor = span.end
    parts.append(text[cursor:])
    return "".join(parts)


def parse_grounded(text: str) -> GroundedText:
    """Read what the model wrote: inverse of `render_grounded` up to blanks.

    A [SEG] belongs to the last phrase closed since the [SEG] before it; without one it has an empty range. Tags
    that are not closed, or were never opened, leave only their words.
    """
    words = ""
    ranges: list[tuple[int, int]] = []
    opened: int | None = None
    closed: tuple[int, int] | None = None
    for index, part in enumerate(_TAGS.split(text)):
        if index % 2 == 0:
            words = _append(words, part)
        elif part == PHRASE_START:
            opened = len(words)
        elif part == PHRASE_END and opened is not None:
            closed = (_skip_blank(words, opened), len(words))
            opened = None
        elif part == SEG:
            ranges.append(closed or (len(words), len(words)))
            closed = None
    return GroundedText(words, tuple(ranges))


def strip_special_tokens(text: str) -> str:
    """Plain words of a generated text."""
    return parse_grounded(text).text


def _append(words: str, part: str) -> str:
    """Join with one blank, none before punctuation."""
    part = _BLANK_BEFORE_PUNCTUATION.sub(r"\1", _BLANKS.sub(" ", part).strip())
    if not part or not words:
        return words + part
    return words + part if part[0] in ",.;:!?" else f"{words} {part}"


def _skip_blank(words: str, position: int) -> int:
    return position + 1 if words[position : position + 1] == " " else position
