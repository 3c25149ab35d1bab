"""Draws a scene: a background, and one to eight solid objects on it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from glamm.synthetic import canvas
from glamm.synthetic.backgrounds import draw_background
from glamm.synthetic.canvas import Sprite
from glamm.synthetic.materials import COLORS, MATERIALS, shade
from glamm.synthetic.placement import (
    Placement,
    Position,
    TopSurface,
    back_to_front,
    depth_at,
    sample_count,
)
from glamm.synthetic.scene import NounPhrase, Scene
from glamm.synthetic.shapes import SHAPES, Shape, Sheet

SIZES = {"small": (0.14, 0.17), "": (0.21, 0.25), "large": (0.31, 0.36)}
"""Range of an object's height, as a fraction of the image's side, by the adjective in captions."""

_SIZE_WEIGHTS = (0.3, 0.45, 0.25)
_MATERIAL_WEIGHTS = (0.46, 0.18, 0.18, 0.18)
_TWIN_CHANCE = 0.1  # that an object has the design of the one before it


@dataclass(frozen=True, slots=True)
class _Design:
    shape: Shape
    size: str
    material: str
    color: str

    @property
    def phrase(self) -> NounPhrase:
        """In the order of English: a small striped red ball, a small red metal ball."""
        words = (
            (self.size, self.color, self.material)
            if self.material == "metal"
            else (self.size, self.material, self.color)
        )
        return NounPhrase(
            noun=self.shape.noun,
            adjectives=tuple(word for word in words if word),
            plural=self.shape.plural,
        )


def draw_scene(rng: np.random.Generator, *, side: int, max_objects: int) -> Scene:
    """Draw one scene.

    Args:
        rng: The only source of randomness.
        side: Side of the square image in pixels.
        max_objects: Largest number of objects.

    Returns:
        A scene of 1 to `max_objects` visible objects.
    """
    background = draw_background(rng, side=side)
    sprites = _draw_sprites(
        rng,
        count=sample_count(rng, max_objects=max_objects),
        placement=Placement(side, background.horizon * side),
    )
    kept, ids, hidden = canvas.drop_hidden(back_to_front(sprites), side=side)
    return Scene(
        image=canvas.paint(background.image, kept),
        objects=canvas.to_scene_objects(kept, ids, hidden),
        setting=background.setting,
        floating_objects=background.floating_objects,
    )


def _draw_sprites(rng: np.random.Generator, *, count: int, placement: Placement) -> list[Sprite]:
    light = _light(rng)
    sprites: list[Sprite] = []
    design = _sample_design(rng)
    for number in range(count):
        if number and rng.random() >= _TWIN_CHANCE:
            design = _sample_design(rng)
        shape = design.shape
        height = float(rng.uniform(*SIZES[design.size])) * shape.stretch * placement.side
        width = height * shape.width
        position = placement.find(rng, height=height, width=width)
        if position is None:
            continue
        if shape.top_surface is not None and position.support is None:
            top_surface = TopSurface(
                position.x, position.base_y - height * shape.top_surface, width
            )
            placement.add_top_surface(len(sprites), top_surface)
        ground = position.base_y if position.support is None else sprites[position.support].base_y
        depth = depth_at(ground, side=placement.side)
        sprites.append(
            _draw_sprite(design, rng, light=light, height=height, position=position, depth=depth)
        )
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


def _pick(rng: np.random.Generator, options: Sequence[str], weights: Sequence[float]) -> str:
    index = np.searchsorted(np.cumsum(weights), rng.random() * sum(weights), side="right")
    return options[int(index)]


def _draw_sprite(
    design: _Design,
    rng: np.random.Generator,
    *,
    light: tuple[float, float, float],
    height: float,
    position: Position,
    depth: float,
) -> Sprite:
    shape = design.shape
    sheet = Sheet(height_px=height, width=shape.width, light=light)
    shape.draw(sheet, rng)
    # brightness changes for all channels alike, hue hardly: a pinkish white would not be white
    tint = np.array(COLORS[design.color]) * rng.uniform(0.9, 1.06) * rng.uniform(0.98, 1.02, 3)
    width = height * shape.width
    return Sprite(
        color=shade(sheet, color=tint, material=design.material, rng=rng),
        alpha=sheet.cover,
        left=round(position.x - sheet.axis_x),
        top=round(position.base_y - sheet.base_y),
        base_y=position.base_y,
        phrase=design.phrase,
        depth=depth,
        support=position.support,
        shadow=(
            position.x - light[0] * 0.3 * width,
            position.base_y - 0.02 * height,
            0.52 * width,
            0.1 * height + 1,
        ),
    )
