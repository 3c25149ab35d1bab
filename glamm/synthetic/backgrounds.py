"""Drawn backgrounds: a wall or a sky above the horizon, a floor or ground below it."""

from dataclasses import dataclass

import numpy as np

from glamm.synthetic import backdrops, ground_textures
from glamm.synthetic.backdrops import BackdropPainter
from glamm.synthetic.ground_textures import Ground, GroundPainter
from glamm.synthetic.scene import BgrImage, FloatingObject, Setting


@dataclass(frozen=True, slots=True)
class Background:
    """A drawn background.

    Args:
        image: The pixels.
        setting: The location that is drawn.
        horizon: Where the ground begins, as a fraction of the image's height from the top.
        floating_objects: What a detector would find in it.
    """

    image: BgrImage
    setting: Setting
    horizon: float
    floating_objects: tuple[FloatingObject, ...]


@dataclass(frozen=True, slots=True)
class _DrawnSetting:
    setting: Setting
    backdrop: BackdropPainter
    ground: GroundPainter


def _drawn_setting(
    category: str,
    fine: str,
    location: str,
    use: str,
    *,
    backdrop: BackdropPainter,
    ground: GroundPainter,
) -> _DrawnSetting:
    return _DrawnSetting(Setting(f"{category} scene", fine, location, use), backdrop, ground)


SETTINGS: tuple[_DrawnSetting, ...] = (
    _drawn_setting(
        "Indoor", "Living space", "in a living room",
        "Rooms like this one are where people rest, eat and meet. Small things on the floor are easily overlooked, and a child or a guest may trip over them.",
        backdrop=backdrops.room, ground=ground_textures.planks,
    ),
    _drawn_setting(
        "Indoor", "Work space", "on a desk",
        "Desks hold what is needed for the day's work. Order on them saves time, and drinks are best kept away from paper and machines.",
        backdrop=backdrops.office, ground=ground_textures.desk,
    ),
    _drawn_setting(
        "Indoor", "Public space", "in a hall",
        "Halls are passed by many people every day. Their floors are hard and easy to clean, but they become slippery when wet.",
        backdrop=backdrops.hall, ground=ground_textures.tiles,
    ),
    _drawn_setting(
        "Indoor", "Industrial space", "in a workshop",
        "Workshops are built for heavy use. Goods are put down where there is room, so ways have to be kept free and loads must stand firmly.",
        backdrop=backdrops.bricks, ground=ground_textures.smooth,
    ),
    _drawn_setting(
        "Outdoor", "Urban landscape", "on a square in the town",
        "Squares have been places of trade and of meeting for centuries. What is left there for long is usually taken away by the town.",
        backdrop=backdrops.town, ground=ground_textures.tiles,
    ),
    _drawn_setting(
        "Outdoor", "Rural landscape", "in a field",
        "Fields are tilled to grow grain and vegetables. Foreign things in the soil can damage the machines at harvest.",
        backdrop=backdrops.hills, ground=ground_textures.furrows,
    ),
    _drawn_setting(
        "Outdoor", "Natural landscape", "on the grass",
        "Meadows below mountains feed cattle in summer and draw walkers. The weather can change there within an hour.",
        backdrop=backdrops.mountains, ground=ground_textures.grass,
    ),
    _drawn_setting(
        "Transportation", "Road", "on a road",
        "Roads carry goods and people. Anything that lies on them is a danger to drivers and should be removed or marked at once.",
        backdrop=backdrops.hills, ground=ground_textures.road,
    ),
    _drawn_setting(
        "Transportation", "Port and harbor", "by the sea",
        "Shores with a landing place have long lived from trade and fishing. The tide may carry away what is put down too near the water.",
        backdrop=backdrops.sea, ground=ground_textures.sand,
    ),
    _drawn_setting(
        "Sports and recreation", "Sporting venue", "on a sports field",
        "Sports fields are marked with lines that rule the game. Before a match starts, everything that does not belong there is carried off.",
        backdrop=backdrops.grandstand, ground=ground_textures.pitch,
    ),
)  # fmt: skip
"""The landmarks of GranD's taxonomy that can be drawn."""


def draw_background(rng: np.random.Generator, *, side: int) -> Background:
    """Draw one of the settings.

    Args:
        rng: The only source of randomness.
        side: Side of the square image in pixels.
    """
    drawn = SETTINGS[int(rng.integers(len(SETTINGS)))]
    rows = round(float(rng.uniform(0.3, 0.5)) * side)
    backdrop, floating_objects = drawn.backdrop(rng, rows, side)
    ground = drawn.ground(Ground(rng, rows=side - rows, side=side), rng)
    image = np.concatenate([backdrop, ground]) * float(rng.uniform(0.88, 1.06))
    return Background(
        np.clip(image, 0, 255).astype(np.uint8), drawn.setting, rows / side, floating_objects
    )
