"""Texts of the special tokens."""

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


def find_reserved_token(text: str) -> str | None:
    """The first reserved token in a text, where it would change the meaning of a prompt; None if there is none."""
    return next((token for token in RESERVED_TOKENS if token in text), None)
