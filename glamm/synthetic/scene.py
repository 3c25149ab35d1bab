"""What a scene is, before it becomes words and files."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from glamm.structures.sample import Mask
from glamm.typing import Box

RgbImage = UInt8[np.ndarray, "height width 3"]
"""Blue, green, red, as OpenCV has it."""


DEPTH_RANGE = 3000
"""Inverse depth from the bottom of an image to its top, in units like those of a depth estimator."""


@dataclass(frozen=True, slots=True)
class Look:
    """How a thing is called.

    Args:
        noun: The head of its name: "ball".
        adjectives: In the order in which they are said: ("small", "striped", "red").
        determiner: "two", "some"; empty for a or an.
        plural: The noun for several; None where it is not known, and then several are told apart by place.
        is_compound: The words depend on each other, as in "hot air balloon": they are left out from the front only.
    """

    noun: str
    adjectives: tuple[str, ...] = ()
    determiner: str = ""
    plural: str | None = None
    is_compound: bool = False

    @property
    def name(self) -> str:
        """The whole name without an article."""
        return " ".join((*self.adjectives, self.noun))


@dataclass(frozen=True, slots=True)
class Thing:
    """A visible thing of a finished image.

    Args:
        look: How it is called.
        box: Tight around its visible pixels, edges exclusive.
        mask: Its visible pixels.
        foot: Height in the image, in pixels from the top, at which it touches the ground or what carries it.
        depth: Inverse relative depth; larger is closer.
        carrier: Index of the thing it stands on.
        hidden: Part of its pixels that other things cover, 0 to 1.
    """

    look: Look
    box: Box
    mask: Mask
    foot: float
    depth: float
    carrier: int | None = None
    hidden: float = 0.0

    @property
    def center_x(self) -> float:
        """Middle of the box, in pixels."""
        return (self.box[0] + self.box[2]) / 2

    @property
    def area(self) -> float:
        """Area of the box in square pixels."""
        return (self.box[2] - self.box[0]) * (self.box[3] - self.box[1])


@dataclass(frozen=True, slots=True)
class Setting:
    """Where a scene plays.

    Args:
        category: Main class of GranD's landmark taxonomy.
        fine_category: Fine class.
        place: Words for it with a preposition: "in a living room".
        use: A sentence on what such places are used for.
    """

    category: str
    fine_category: str
    place: str
    use: str


@dataclass(frozen=True, slots=True)
class Decor:
    """Something of the background that a detector would find: a window, the sun."""

    label: str
    box: Box


@dataclass(frozen=True, slots=True)
class Scene:
    """An image and everything that is known about it.

    Args:
        image: The pixels.
        things: In no particular order; captions and records point to them by index.
        setting: None where the place is not known.
        decor: Things of the background, without masks.
    """

    image: RgbImage
    things: tuple[Thing, ...]
    setting: Setting | None = None
    decor: tuple[Decor, ...] = ()
