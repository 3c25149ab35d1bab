"""Places drawn behind the things: a wall or a sky above, a floor or ground below."""

from dataclasses import dataclass

import numpy as np

from glamm.synthetic import backdrops, ground_textures
from glamm.synthetic.backdrops import UpperPainter
from glamm.synthetic.ground_textures import Ground, GroundPainter
from glamm.synthetic.scene import Decor, RgbImage, Setting


@dataclass(frozen=True, slots=True)
class Backdrop:
    """A drawn place.

    Args:
        image: The pixels.
        setting: Which place it is.
        horizon: Where the ground begins, in sides of the image from the top.
        decor: What a detector would find in it.
    """

    image: RgbImage
    setting: Setting
    horizon: float
    decor: tuple[Decor, ...]


@dataclass(frozen=True, slots=True)
class _Place:
    setting: Setting
    upper: UpperPainter
    lower: GroundPainter


def _place(
    category: str, fine: str, place: str, use: str, *, upper: UpperPainter, lower: GroundPainter
) -> _Place:
    return _Place(Setting(f"{category} scene", fine, place, use), upper, lower)


PLACES: tuple[_Place, ...] = (
    _place(
        "Indoor", "Living space", "in a living room",
        "Rooms like this one are where people rest, eat and meet. Small things on the floor are easily overlooked, and a child or a guest may trip over them.",
        upper=backdrops.room, lower=ground_textures.planks,
    ),
    _place(
        "Indoor", "Work space", "on a desk",
        "Desks hold what is needed for the day's work. Order on them saves time, and drinks are best kept away from paper and machines.",
        upper=backdrops.office, lower=ground_textures.desk,
    ),
    _place(
        "Indoor", "Public space", "in a hall",
        "Halls are passed by many people every day. Their floors are hard and easy to clean, but they become slippery when wet.",
        upper=backdrops.hall, lower=ground_textures.tiles,
    ),
    _place(
        "Indoor", "Industrial space", "in a workshop",
        "Workshops are built for heavy use. Goods are put down where there is room, so ways have to be kept free and loads must stand firmly.",
        upper=backdrops.bricks, lower=ground_textures.smooth,
    ),
    _place(
        "Outdoor", "Urban landscape", "on a square in the town",
        "Squares have been places of trade and of meeting for centuries. What is left there for long is usually taken away by the town.",
        upper=backdrops.town, lower=ground_textures.tiles,
    ),
    _place(
        "Outdoor", "Rural landscape", "in a field",
        "Fields are tilled to grow grain and vegetables. Foreign things in the soil can damage the machines at harvest.",
        upper=backdrops.hills, lower=ground_textures.furrows,
    ),
    _place(
        "Outdoor", "Natural landscape", "on the grass",
        "Meadows below mountains feed cattle in summer and draw walkers. The weather can change there within an hour.",
        upper=backdrops.mountains, lower=ground_textures.grass,
    ),
    _place(
        "Transportation", "Road", "on a road",
        "Roads carry goods and people. Anything that lies on them is a danger to drivers and should be removed or marked at once.",
        upper=backdrops.hills, lower=ground_textures.road,
    ),
    _place(
        "Transportation", "Port and harbor", "by the sea",
        "Shores with a landing place have long lived from trade and fishing. The tide may carry away what is put down too near the water.",
        upper=backdrops.sea, lower=ground_textures.sand,
    ),
    _place(
        "Sports and recreation", "Sporting venue", "on a sports field",
        "Sports fields are marked with lines that rule the game. Before a match starts, everything that does not belong there is carried off.",
        upper=backdrops.stand, lower=ground_textures.pitch,
    ),
)  # fmt: skip
"""The landmarks of GranD's taxonomy that are drawn."""


def draw_background(rng: np.random.Generator, *, side: int) -> Backdrop:
    """Draw one of the places.

    Args:
        rng: Decides everything.
        side: Of the square image in pixels.
    """
    place = PLACES[int(rng.integers(len(PLACES)))]
    rows = round(float(rng.uniform(0.3, 0.5)) * side)
    upper, decor = place.upper(rng, rows, side)
    lower = place.lower(Ground(rng, rows=side - rows, side=side), rng)
    image = np.concatenate([upper, lower]) * float(rng.uniform(0.88, 1.06))
    return Backdrop(np.clip(image, 0, 255).astype(np.uint8), place.setting, rows / side, decor)
