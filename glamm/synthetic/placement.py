"""How many things a scene holds and where they stand."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from glamm.synthetic.canvas import Sprite
from glamm.synthetic.scene import DEPTH_RANGE
from glamm.typing import Box

COUNT_WEIGHTS = (0.08, 0.2, 0.24, 0.2, 0.12, 0.08, 0.05, 0.03)
"""How often an image holds 1, 2, ... things."""

_STACK_CHANCE = 0.3  # of a thing that can stand on another one doing so
_MOST_COVERED = 0.4  # of the smaller of two boxes
_LOWEST = 0.975  # of the image's height
_TRIES = 12


@dataclass(frozen=True, slots=True)
class Roof:
    """A flat top on which one thing can stand: its middle, height in the image and width, in pixels."""

    x: float
    y: float
    width: float


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a thing stands: the middle of its foot, in pixels, and the index of what carries it."""

    x: float
    foot: float
    carrier: int | None = None


@dataclass(slots=True)
class Placement:
    """Finds room for one thing after the other.

    Args:
        side: Of the square image in pixels.
        horizon: Where the ground begins, in pixels from the top.
    """

    side: int
    horizon: float
    _boxes: list[Box] = field(default_factory=list)
    _roofs: dict[int, Roof] = field(default_factory=dict)

    def find(self, rng: np.random.Generator, *, height: float, width: float) -> Spot | None:
        """Find a spot where the thing covers no other too much, and take it; None where there is no room."""
        spot = self._on_roof(rng, height=height, width=width) or self._on_ground(
            rng, height=height, width=width
        )
        if spot is not None:
            self._boxes.append(_box(spot, height=height, width=width))
        return spot

    def add_roof(self, index: int, roof: Roof) -> None:
        """Let a later thing stand on the thing of this index."""
        self._roofs[index] = roof

    def _on_roof(self, rng: np.random.Generator, *, height: float, width: float) -> Spot | None:
        for carrier, roof in self._roofs.items():
            fits = width < 0.85 * roof.width and roof.y - height > 2
            if fits and rng.random() < _STACK_CHANCE:
                del self._roofs[carrier]
                return Spot(roof.x, roof.y, carrier)
        return None

    def _on_ground(self, rng: np.random.Generator, *, height: float, width: float) -> Spot | None:
        lowest = _LOWEST * self.side
        highest = min(max(self.horizon + 0.06 * self.side, height + 2), lowest)
        margin = min(width / 2, self.side / 2)
        for _ in range(_TRIES):
            spot = Spot(
                float(rng.uniform(margin, self.side - margin)), float(rng.uniform(highest, lowest))
            )
            box = _box(spot, height=height, width=width)
            if all(_covered(box, other) < _MOST_COVERED for other in self._boxes):
                return spot
        return None


def sample_count(rng: np.random.Generator, *, max_objects: int) -> int:
    """How many things an image is to hold."""
    weights = np.array(COUNT_WEIGHTS[:max_objects])
    return 1 + int(np.searchsorted(np.cumsum(weights) / weights.sum(), rng.random(), side="right"))


def back_to_front(sprites: Sequence[Sprite]) -> list[Sprite]:
    """Sort by distance; what is carried comes right after its carrier, as far away as it."""

    def key(index: int) -> tuple[float, int]:
        carrier = sprites[index].carrier
        return (sprites[index].foot, 0) if carrier is None else (sprites[carrier].foot, 1)

    order = sorted(range(len(sprites)), key=key)
    new_index = {old: new for new, old in enumerate(order)}
    moved = [sprites[old] for old in order]
    return [
        sprite if sprite.carrier is None else replace(sprite, carrier=new_index[sprite.carrier])
        for sprite in moved
    ]


def depth_at(foot: float, *, side: int) -> float:
    """Inverse relative depth of what stands at this height of the image; larger is closer."""
    return round(1000 + DEPTH_RANGE * foot / side, 2)


def _box(spot: Spot, *, height: float, width: float) -> Box:
    return spot.x - width / 2, spot.foot - height, spot.x + width / 2, spot.foot


def _covered(first: Box, second: Box) -> float:
    """Intersection over the smaller box."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    if width <= 0 or height <= 0:
        return 0.0
    return width * height / min((box[2] - box[0]) * (box[3] - box[1]) for box in (first, second))
