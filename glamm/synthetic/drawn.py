"""Draws a scene: a place, and one to eight solid things in it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from glamm.synthetic import canvas
from glamm.synthetic.backgrounds import draw_background
from glamm.synthetic.canvas import Sprite
from glamm.synthetic.materials import COLORS, MATERIALS, shade
from glamm.synthetic.placement import Placement, Roof, Spot, back_to_front, depth_at, sample_count
from glamm.synthetic.scene import Look, Scene
from glamm.synthetic.shapes import SHAPES, Shape, Sheet

SIZES = {"small": (0.14, 0.17), "": (0.21, 0.25), "large": (0.31, 0.36)}
"""Range of the height, in sides of the image, by the word that captions use."""

_SIZE_WEIGHTS = (0.3, 0.45, 0.25)
_MATERIAL_WEIGHTS = (0.46, 0.18, 0.18, 0.18)
_TWIN_CHANCE = 0.1  # of a thing that looks like the one before it


@dataclass(frozen=True, slots=True)
class _Design:
    shape: Shape
    size: str
    material: str
    color: str

    @property
    def look(self) -> Look:
        """In the order of English: a small striped red ball, a small red metal ball."""
        words = (
            (self.size, self.color, self.material)
            if self.material == "metal"
            else (self.size, self.material, self.color)
        )
        return Look(
            noun=self.shape.noun,
            adjectives=tuple(word for word in words if word),
            plural=self.shape.plural,
        )


def draw_scene(rng: np.random.Generator, *, side: int, max_objects: int) -> Scene:
    """Draw one scene.

    Args:
        rng: Decides everything.
        side: Of the square image in pixels.
        max_objects: Most things in it.

    Returns:
        A scene of 1 to `max_objects` things, each visible.
    """
    backdrop = draw_background(rng, side=side)
    sprites = _draw_things(
        rng,
        count=sample_count(rng, max_objects=max_objects),
        placement=Placement(side, backdrop.horizon * side),
    )
    kept, ids, hidden = canvas.drop_hidden(back_to_front(sprites), side=side)
    return Scene(
        image=canvas.paint(backdrop.image, kept),
        things=canvas.to_things(kept, ids, hidden),
        setting=backdrop.setting,
        decor=backdrop.decor,
    )


def _draw_things(rng: np.random.Generator, *, count: int, placement: Placement) -> list[Sprite]:
    light = _light(rng)
    sprites: list[Sprite] = []
    design = _sample_design(rng)
    for number in range(count):
        if number and rng.random() >= _TWIN_CHANCE:
            design = _sample_design(rng)
        shape = design.shape
        height = float(rng.uniform(*SIZES[design.size])) * shape.stretch * placement.side
        width = height * shape.width
        spot = placement.find(rng, height=height, width=width)
        if spot is None:
            continue
        if shape.roof is not None and spot.carrier is None:
            roof = Roof(spot.x, spot.foot - height * shape.roof, width)
            placement.add_roof(len(sprites), roof)
        ground = spot.foot if spot.carrier is None else sprites[spot.carrier].foot
        depth = depth_at(ground, side=placement.side)
        sprites.append(_draw_thing(design, rng, light=light, height=height, spot=spot, depth=depth))
    return sprites


def _light(rng: np.random.Generator) -> tuple[float, float, float]:
    x = float(rng.uniform(0.35, 0.65)) * (1 if rng.random() < 0.5 else -1)
    y, z = float(rng.uniform(0.45, 0.7)), 0.6
    length = float(np.sqrt(x * x + y * y + z * z))
    return x / length, y / length, z / length


def _sample_design(rng: np.random.Generator) -> _Design:
    return _Design(
        shape=SHAPES[int(rng.integers(len(SHAPES)))],
        size=_pick(rng, list(SIZES), _SIZE_WEIGHTS),
        material=_pick(rng, list(MATERIALS), _MATERIAL_WEIGHTS),
        color=list(COLORS)[int(rng.integers(len(COLORS)))],
    )


def _pick(rng: np.random.Generator, words: Sequence[str], weights: Sequence[float]) -> str:
    place = np.searchsorted(np.cumsum(weights), rng.random() * sum(weights), side="right")
    return words[int(place)]


def _draw_thing(
    design: _Design,
    rng: np.random.Generator,
    *,
    light: tuple[float, float, float],
    height: float,
    spot: Spot,
    depth: float,
) -> Sprite:
    shape = design.shape
    sheet = Sheet(height_px=height, width=shape.width, light=light)
    shape.draw(sheet, rng)
    # a common change of brightness and hardly any of hue: a pinkish white would be no white
    tint = np.array(COLORS[design.color]) * rng.uniform(0.9, 1.06) * rng.uniform(0.98, 1.02, 3)
    width = height * shape.width
    return Sprite(
        color=shade(sheet, color=tint, material=design.material, rng=rng),
        alpha=sheet.cover,
        left=round(spot.x - sheet.axis_x),
        top=round(spot.foot - sheet.foot_y),
        foot=spot.foot,
        look=design.look,
        depth=depth,
        carrier=spot.carrier,
        shadow=(
            spot.x - light[0] * 0.3 * width,
            spot.foot - 0.02 * height,
            0.52 * width,
            0.1 * height + 1,
        ),
    )
