"""Texts whose phrases know their place and their things."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

_VOWEL = re.compile(
    r"(?!eu|ewe|one\b|once|usb|u[bfkst][aeiou]|uni(?!n|m))[aeiou]|(?:hour|honest|heir)",
    re.IGNORECASE,
)
"""How names begin that want "an"."""


@dataclass(frozen=True, slots=True)
class Mention:
    """Words that name things.

    Args:
        words: "a red ball".
        ids: Indices of the things.
    """

    words: str
    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Grounding:
    """A piece of a text and the things it names.

    Args:
        phrase: Equals `text[start:end]`.
        start: First code point.
        end: One past the last.
        ids: Indices of the things.
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
    """Join pieces, with a capital at the beginning of each sentence, and note where each mention ends up."""
    text, groundings, begins = "", [], True
    for piece in pieces:
        words = piece if isinstance(piece, str) else piece.words
        if begins and words.strip():
            words = words[:1].upper() + words[1:]
            begins = False
        if isinstance(piece, Mention):
            groundings.append(Grounding(words, len(text), len(text) + len(words), piece.ids))
        text += words
        begins = begins or words.endswith(".")
    return GroundedText(text, tuple(groundings))


def lowered(text: GroundedText) -> GroundedText:
    """The same text in lower case, as GranD's short captions are written."""
    return GroundedText(
        text.text.lower(),
        tuple(Grounding(g.phrase.lower(), g.start, g.end, g.ids) for g in text.groundings),
    )


def with_article(name: str) -> str:
    """Put a or an before a name, by its sound: an apple, a European bear, an hour glass."""
    return f"{'an' if _VOWEL.match(name) else 'a'} {name}"


def listing(pieces: Sequence[Piece]) -> list[Piece]:
    """Join with commas and a final "and"."""
    joined: list[Piece] = []
    for index, piece in enumerate(pieces):
        if index:
            joined.append(" and " if index == len(pieces) - 1 else ", ")
        joined.append(piece)
    return joined
