"""Values in token sequences that are no token ids. Imports no torch, for commands that need no model."""

IGNORE_LABEL = -100
"""Label of a position that the loss ignores."""

IMAGE_PLACEHOLDER_ID = -200
"""Marks in `input_ids` where the tokens of the image are inserted; in no vocabulary."""
