"""A scene: an image, its objects, and what is known about them."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from glamm.structures.sample import Mask
from glamm.typing import Box

BgrImage = UInt8[np.ndarray, "height width 3"]
"""Blue, green, red: OpenCV's order."""

DEPTH_RANGE = 3000
"""Range of the inverse relative depth from the top of an image to its bottom, in a depth estimator's units."""


@dataclass(frozen=True, slots=True)
class NounPhrase:
    """An object's name.

    Args:
        noun: The head: "ball".
        adjectives: In the order of English: ("small", "striped", "red").
        determiner: "two", "some"; empty for a or an.
        plural: The noun for several; None where it is not known.
        is_compound: Whether the words depend on each other, as in "hot air balloon". Only leading words may be left out
            then.
    """

    noun: str
    adjectives: tuple[str, ...] = ()
    determiner: str = ""
    plural: str | None = None
    is_compound: bool = False

    @property
    def text(self) -> str:
        """The whole phrase without an article."""
        return " ".join((*self.adjectives, self.noun))


@dataclass(frozen=True, slots=True)
class SceneObject:
    """A visible object of a finished image.

    Args:
        phrase: Its name.
        box: Tight around its visible pixels, right and bottom edge exclusive.
        mask: Its visible pixels.
        base_y: Where it touches the ground or its support, in pixels from the top of the image.
        depth: Inverse relative depth; larger is closer.
        support: Index of the object on which it is; None on the ground.
        hidden: Fraction of its pixels that other objects cover, 0 to 1.
    """

    phrase: NounPhrase
    box: Box
    mask: Mask
    base_y: float
    depth: float
    support: int | None = None
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
    """The location of a scene.

    Args:
        category: Main class of GranD's landmark taxonomy.
        fine_category: Fine class.
        location: With a preposition: "in a living room".
        use: Sentences about what such locations are used for.
    """

    category: str
    fine_category: str
    location: str
    use: str


@dataclass(frozen=True, slots=True)
class FloatingObject:
    """An object of the background that a detector would find, such as a window; GranD's name for it."""

    label: str
    box: Box


@dataclass(frozen=True, slots=True)
class Scene:
    """An image and everything that is known about it.

    Args:
        image: The pixels.
        objects: In any order; captions and records refer to them by index.
        setting: None where the location is not known.
        floating_objects: Objects of the background, without masks.
    """

    image: BgrImage
    objects: tuple[SceneObject, ...]
    setting: Setting | None = None
    floating_objects: tuple[FloatingObject, ...] = ()
