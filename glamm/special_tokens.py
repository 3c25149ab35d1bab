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
