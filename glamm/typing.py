"""Words used in array annotations, and small aliases that cross folders.

Axis names in jaxtyping annotations:

* ``images``  images of a batch          * ``rows``     conversations of a batch (several may share an image)
* ``length``  tokens of a row as typed     * ``positions``  tokens after the image placeholder was expanded
* ``tokens``  image tokens of one image  * ``hidden``   width of the language model
* ``masks``   objects or [SEG] tokens      * ``height width``  pixels of the original image
* ``boxes``   region prompts of a row      * ``side``     the padded square that SAM sees
"""

from typing import TypeAlias

Size: TypeAlias = tuple[int, int]
"""(height, width) in pixels, always in this order."""

Box: TypeAlias = tuple[float, float, float, float]
"""x1, y1, x2, y2 in pixels of the original image; x2 and y2 are exclusive edges."""
