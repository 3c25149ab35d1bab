"""Grounded captions: plain text with spans, and the same text with special tokens: `<p> phrase </p> [SEG]`."""

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from glamm.special_tokens import (
    ADDED_TOKENS,
    BOX,
    PHRASE_END,
    PHRASE_START,
    SEG,
    escape_reserved_tokens,
    unescape,
)
from glamm.structures.sample import Span, SpanKind

_TAGS = re.compile("(" + "|".join(map(re.escape, ADDED_TOKENS)) + ")")
_BLANKS = re.compile(r"\s+")
_BLANK_BEFORE_PUNCTUATION = re.compile(r"\s+([,.;:!?])")


@dataclass(frozen=True, slots=True)
class GroundedText:
    """Plain text and the phrase of each [SEG].

    Args:
        text: Without special tokens.
        ranges: (start, end) code points, one per [SEG] in order; an empty range if the mask has no phrase.
    """

    text: str
    ranges: tuple[tuple[int, int], ...]


def render_grounded(text: str, spans: Sequence[Span]) -> str:
    """Insert special tokens into a text.

    Args:
        text: Plain text; reserved tokens in it are escaped and stay plain text.
        spans: Sorted, without overlaps.

    Returns:
        The text with SEG spans as `<p> phrase </p> [SEG]`, SEG_ONLY spans as `[SEG]`, REGION spans as `phrase <bbox>`.
    """
    parts: list[str] = []
    cursor = 0
    for span in spans:
        phrase = escape_reserved_tokens(text[span.start : span.end])
        parts.append(escape_reserved_tokens(text[cursor : span.start]))
        if span.kind is SpanKind.SEG:
            parts.append(f"{PHRASE_START} {phrase} {PHRASE_END} {SEG}")
        elif span.kind is SpanKind.SEG_ONLY:
            parts.append(SEG)
        else:
            parts.append(f"{phrase} " + ",".join([BOX] * len(span.object_ids)))
        cursor = span.end
    parts.append(escape_reserved_tokens(text[cursor:]))
    return "".join(parts)


def parse_grounded(text: str) -> GroundedText:
    """Parse a generated text: the inverse of `render_grounded`, except for blanks.

    A [SEG] belongs to the last phrase that was closed since the previous [SEG]; without one, its range is empty. Tags
    without a counterpart are removed, their text is kept.
    """
    plain = ""
    ranges: list[tuple[int, int]] = []
    opened: int | None = None
    closed: tuple[int, int] | None = None
    for index, part in enumerate(_TAGS.split(text)):
        if index % 2 == 0:
            plain = _append(plain, part)
        elif part == PHRASE_START:
            opened = len(plain)
        elif part == PHRASE_END and opened is not None:
            closed = (_skip_blank(plain, opened), len(plain))
            opened = None
        elif part == SEG:
            ranges.append(closed or (len(plain), len(plain)))
            closed = None
    return _unescaped(plain, ranges)


def _unescaped(text: str, ranges: Sequence[tuple[int, int]]) -> GroundedText:
    """The text without the marks of reserved tokens that are plain text."""
    plain, indices = unescape(text)
    return GroundedText(
        plain,
        tuple((bisect_left(indices, start), bisect_left(indices, end)) for start, end in ranges),
    )


def _append(text: str, part: str) -> str:
    """Join with one blank, or without one before punctuation."""
    part = _BLANK_BEFORE_PUNCTUATION.sub(r"\1", _BLANKS.sub(" ", part).strip())
    if not part or not text:
        return text + part
    return text + part if part[0] in ",.;:!?" else f"{text} {part}"


def _skip_blank(text: str, position: int) -> int:
    return position + 1 if text[position : position + 1] == " " else position
