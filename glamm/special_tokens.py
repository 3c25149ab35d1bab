"""Texts of the special tokens."""

import re
from collections.abc import Sequence

IMAGE_START = "<im_start>"
IMAGE_END = "<im_end>"
BOX = "<bbox>"
POINT = "<point>"
SEG = "[SEG]"
PHRASE_START = "<p>"
PHRASE_END = "</p>"

ADDED_TOKENS = (IMAGE_START, IMAGE_END, BOX, POINT, SEG, PHRASE_START, PHRASE_END)
"""Appended to the vocabulary in this order, that of the release; <point> is not used but keeps its position."""

IMAGE = "<image>"
"""Placeholder of the image in a prompt; not part of the vocabulary."""

BEGIN, END, UNKNOWN = "<s>", "</s>", "<unk>"
"""The control tokens of LLaMA's vocabulary; the unknown token is also used for padding."""

RESERVED_TOKENS = (*ADDED_TOKENS, IMAGE, BEGIN, END, UNKNOWN)
"""Texts that a tokenizer turns into tokens with a meaning for the model."""


_ESCAPE = "\ufdd0"
"""A code point that Unicode reserves for use inside a program: no text has it."""

_RESERVED = re.compile("|".join(map(re.escape, RESERVED_TOKENS)))


def escape_reserved_tokens(text: str) -> str:
    """Mark what is plain text: a tokenizer does not turn a marked token into one with a meaning for the model.

    The first character of each reserved token is followed by a code point that `unescape` removes.
    """
    plain = text.replace(_ESCAPE, "")
    return _RESERVED.sub(lambda match: match[0][0] + _ESCAPE + match[0][1:], plain)


def unescape(text: str) -> tuple[str, Sequence[int]]:
    """Remove the marks.

    Returns:
        The text without marks, and for each of its characters, and for its end, the index in the text with marks.
    """
    if _ESCAPE not in text:
        return text, range(len(text) + 1)
    kept = [index for index, character in enumerate(text) if character != _ESCAPE]
    return text.replace(_ESCAPE, ""), [*kept, len(text)]


def find_reserved_token(text: str) -> str | None:
    """The first reserved token in a text, where it would change the meaning of a prompt; None if there is none."""
    return next((token for token in RESERVED_TOKENS if token in text), None)
