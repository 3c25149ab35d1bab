"""The words that stand for things that are not words."""

IMAGE_START = "<im_start>"
IMAGE_END = "<im_end>"
BOX = "<bbox>"
POINT = "<point>"
SEG = "[SEG]"
PHRASE_START = "<p>"
PHRASE_END = "</p>"

ADDED_TOKENS = (IMAGE_START, IMAGE_END, BOX, POINT, SEG, PHRASE_START, PHRASE_END)
"""Appended to the vocabulary in this order, the release's; <point> is never used but keeps its place."""

IMAGE = "<image>"
"""Placeholder of the image in a prompt; never a token."""

BEGIN, END, UNKNOWN = "<s>", "</s>", "<unk>"
"""The control tokens of LLaMA's vocabulary; unknown serves as padding."""
