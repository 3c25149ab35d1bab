"""Texts whose phrases are linked to objects."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

_VOWEL = re.compile(
    r"(?!eu|ewe|one\b|once|usb|u[bfkst][aeiou]|uni(?!n|m))[aeiou]|(?:hour|honest|heir)",
    re.IGNORECASE,
)
"""The beginning of a name that takes "an"."""


@dataclass(frozen=True, slots=True)
class Mention:
    """A phrase that names objects, before its position in a text is known.

    Args:
        text: "a red ball".
        ids: Indices of the objects.
    """

    text: str
    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Grounding:
    """A phrase of a text and the objects it names.

    Args:
        phrase: Equals `text[start:end]`.
        start: Index of the first code point.
        end: Index after the last code point.
        ids: Indices of the objects.
    """

    phrase: str
    start: int
    end: int
    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class GroundedText:
    """A text with groundings in the order of the text."""

    text: str
    groundings: tuple[Grounding, ...]


Piece = str | Mention


def assemble(pieces: Sequence[Piece]) -> GroundedText:
    """Join pieces, capitalize each sentence, and record where each mention is."""
    text, groundings, begins = "", [], True
    for piece in pieces:
        part = piece if isinstance(piece, str) else piece.text
        if begins and part.strip():
            part = part[:1].upper() + part[1:]
            begins = False
        if isinstance(piece, Mention):
            groundings.append(Grounding(part, len(text), len(text) + len(part), piece.ids))
        text += part
        begins = begins or part.endswith(".")
    return GroundedText(text, tuple(groundings))


def lower_case(text: GroundedText) -> GroundedText:
    """The same text in lower case, as GranD's short captions are written."""
    return GroundedText(
        text.text.lower(),
        tuple(Grounding(g.phrase.lower(), g.start, g.end, g.ids) for g in text.groundings),
    )


def with_article(name: str) -> str:
    """Put a or an before a name, by its pronunciation: an apple, a European bear, an hour glass."""
    return f"{'an' if _VOWEL.match(name) else 'a'} {name}"


def join_list(pieces: Sequence[Piece]) -> list[Piece]:
    """Join with commas and a final "and"."""
    joined: list[Piece] = []
    for index, piece in enumerate(pieces):
        if index:
            joined.append(" and " if index == len(pieces) - 1 else ", ")
        joined.append(piece)
    return joined
