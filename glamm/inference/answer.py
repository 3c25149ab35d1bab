"""An answer together with its image, so that it can be drawn."""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float32
from PIL import Image

from glamm.geometry.masks import encode
from glamm.inference.image_io import Pixels
from glamm.inference.overlay import draw_overlay
from glamm.structures.answer import GroundedAnswer
from glamm.structures.sample import Mask


@dataclass(frozen=True, slots=True, eq=False)
class Answer(GroundedAnswer):
    """A grounded answer with its image.

    Args:
        image: RGB, upright; masks and boxes are in its pixels.
        mask_logits: Output of the mask decoder before the sigmoid, on the padded square, with four times the side of
            the grounding embedding.
    """

    image: Pixels = field(kw_only=True, repr=False)
    mask_logits: Float32[np.ndarray, "masks low low"] = field(kw_only=True, repr=False)

    def rles(self) -> list[Mask]:
        """The masks in COCO's compressed run-length encoding."""
        return [encode(mask) for mask in self.masks]

    def overlay(self) -> Image.Image:
        """Draw the masks on the image and the text below it, each phrase in the color of its mask."""
        phrases = [phrase.text for phrase in self.phrases]
        return Image.fromarray(draw_overlay(self.image, self.masks, phrases, self.text))
