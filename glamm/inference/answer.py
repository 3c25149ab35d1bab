"""An answer together with the picture that it is about, so that it can be drawn."""

from dataclasses import dataclass, field

from PIL import Image

from glamm.inference.images import Pixels
from glamm.inference.overlay import draw_overlay
from glamm.structures.answer import GroundedAnswer


@dataclass(frozen=True, slots=True, eq=False)
class Answer(GroundedAnswer):
    """A grounded answer that knows its picture.

    Args:
        image: RGB, upright; masks and boxes are in its pixels.
    """

    image: Pixels = field(kw_only=True, repr=False)

    def overlay(self) -> Image.Image:
        """Draw the masks on the picture and the words below it, each phrase in the colour of its mask."""
        words = [phrase.text for phrase in self.phrases]
        return Image.fromarray(draw_overlay(self.image, self.masks, words, self.text))
