"""What a scene is, before it becomes words and files."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from glamm.structures.sample import Mask
from glamm.typing import Box

Picture = UInt8[np.ndarray, "height width 3"]
"""Blue, green, red, as OpenCV has it."""


@dataclass(frozen=True, slots=True)
class Look:
    """How a thing is called.

    Args:
        noun: The head of its name: "ball".
        adjectives: In the order in which they are said: ("small", "striped", "red").
        tail: What follows the noun: "of bread"; mostly empty.
        plural: The noun for several; None where it is not known, and then several are told apart by place.
    """

    noun: str
    adjectives: tuple[str, ...] = ()
    tail: str = ""
    plural: str | None = None

    @property
    def name(self) -> str:
        """The whole name without an article."""
        return " ".join(word for word in (*self.adjectives, self.noun, self.tail) if word)


@dataclass(frozen=True, slots=True)
class Thing:
    """A visible thing of a finished picture.

    Args:
        look: How it is called.
        box: Tight around its visible pixels, edges exclusive.
        mask: Its visible pixels.
        foot: Height in the picture, in pixels from the top, at which it touches the ground or what carries it.
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
    """A picture and everything that is known about it.

    Args:
        picture: The pixels.
        things: In no particular order; captions and records point to them by index.
        setting: None where the place is not known.
        decor: Things of the background, without masks.
    """

    picture: Picture
    things: tuple[Thing, ...]
    setting: Setting | None = None
    decor: tuple[Decor, ...] = ()
