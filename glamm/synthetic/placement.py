"""Samples how many objects a scene has and where they are."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from glamm.synthetic.canvas import Sprite
from glamm.synthetic.scene import DEPTH_RANGE
from glamm.typing import Box

COUNT_WEIGHTS = (0.08, 0.2, 0.24, 0.2, 0.12, 0.08, 0.05, 0.03)
"""Probability of an image with 1, 2, ... objects."""

_STACK_CHANCE = 0.3  # that an object that fits on another one is put there
_MAX_COVERED = 0.4  # fraction of the smaller of two boxes
_LOWEST = 0.975  # of the image's height
_TRIES = 12


@dataclass(frozen=True, slots=True)
class TopSurface:
    """A flat top on which one object fits: its center (x, y) in the image and its width, in pixels."""

    x: float
    y: float
    width: float


@dataclass(frozen=True, slots=True)
class Position:
    """Where an object is: the center of its base in pixels, and the index of its support."""

    x: float
    base_y: float
    support: int | None = None


@dataclass(slots=True)
class Placement:
    """Finds positions for one object after another.

    Args:
        side: Side of the square image in pixels.
        horizon: Where the ground begins, in pixels from the top.
    """

    side: int
    horizon: float
    _boxes: list[Box] = field(default_factory=list)
    _top_surfaces: dict[int, TopSurface] = field(default_factory=dict)

    def find(self, rng: np.random.Generator, *, height: float, width: float) -> Position | None:
        """Take a position where the object covers no other one too much; None if none is found.

        Args:
            rng: Source of randomness.
            height: Height of the object in pixels.
            width: Width of the object in pixels.
        """
        position = self._on_top_surface(rng, height=height, width=width) or self._on_ground(
            rng, height=height, width=width
        )
        if position is not None:
            self._boxes.append(_box(position, height=height, width=width))
        return position

    def add_top_surface(self, index: int, top_surface: TopSurface) -> None:
        """Allow a later object on top of the object with this index."""
        self._top_surfaces[index] = top_surface

    def _on_top_surface(
        self, rng: np.random.Generator, *, height: float, width: float
    ) -> Position | None:
        for support, top_surface in self._top_surfaces.items():
            fits = width < 0.85 * top_surface.width and top_surface.y - height > 2
            if fits and rng.random() < _STACK_CHANCE:
                del self._top_surfaces[support]
                return Position(top_surface.x, top_surface.y, support)
        return None

    def _on_ground(
        self, rng: np.random.Generator, *, height: float, width: float
    ) -> Position | None:
        lowest = _LOWEST * self.side
        highest = min(max(self.horizon + 0.06 * self.side, height + 2), lowest)
        margin = min(width / 2, self.side / 2)
        for _ in range(_TRIES):
            position = Position(
                float(rng.uniform(margin, self.side - margin)), float(rng.uniform(highest, lowest))
            )
            box = _box(position, height=height, width=width)
            if all(_covered(box, other) < _MAX_COVERED for other in self._boxes):
                return position
        return None


def sample_count(rng: np.random.Generator, *, max_objects: int) -> int:
    """Sample the number of objects of an image."""
    weights = np.array(COUNT_WEIGHTS[:max_objects])
    return 1 + int(np.searchsorted(np.cumsum(weights) / weights.sum(), rng.random(), side="right"))


def back_to_front(sprites: Sequence[Sprite]) -> list[Sprite]:
    """Sort by distance; an object on a support has the distance of its support and follows it."""

    def key(index: int) -> tuple[float, int]:
        support = sprites[index].support
        return (sprites[index].base_y, 0) if support is None else (sprites[support].base_y, 1)

    order = sorted(range(len(sprites)), key=key)
    new_index = {old: new for new, old in enumerate(order)}
    moved = [sprites[old] for old in order]
    return [
        sprite if sprite.support is None else replace(sprite, support=new_index[sprite.support])
        for sprite in moved
    ]


def depth_at(base_y: float, *, side: int) -> float:
    """Inverse relative depth of an object whose base is at this row of the image; larger is closer."""
    return round(1000 + DEPTH_RANGE * base_y / side, 2)


def _box(position: Position, *, height: float, width: float) -> Box:
    return position.x - width / 2, position.base_y - height, position.x + width / 2, position.base_y


def _covered(first: Box, second: Box) -> float:
    """Intersection over the smaller box."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    if width <= 0 or height <= 0:
        return 0.0
    return width * height / min((box[2] - box[0]) * (box[3] - box[1]) for box in (first, second))
