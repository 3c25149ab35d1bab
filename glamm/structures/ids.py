"""Numbers that stand in token sequences without being tokens. No torch: command lines that need no model read them."""

IGNORE_LABEL = -100
"""Label of a position that is not supervised."""

IMAGE_PLACEHOLDER_ID = -200
"""Stands in `input_ids` where the image's tokens will be; never in a vocabulary."""
