"""Draws a scene: a place, and one to eight solid things in it."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from glamm.synthetic import canvas
from glamm.synthetic.backgrounds import draw_background
from glamm.synthetic.canvas import Sprite
from glamm.synthetic.materials import COLORS, MATERIALS, shade
from glamm.synthetic.scene import Look, Scene
from glamm.synthetic.shapes import SHAPES, Shape, Sheet
from glamm.typing import Box

SIZES = {"small": (0.14, 0.17), "": (0.21, 0.25), "large": (0.31, 0.36)}
"""Range of the height, in sides of the picture, by the word that captions use."""

COUNT_WEIGHTS = (0.08, 0.2, 0.24, 0.2, 0.12, 0.08, 0.05, 0.03)
"""How often a picture holds 1, 2, ... things."""

_SIZE_WEIGHTS = (0.3, 0.45, 0.25)
_MATERIAL_WEIGHTS = (0.46, 0.18, 0.18, 0.18)
_TWIN_CHANCE = 0.1  # of a thing that looks like the one before it
_STACK_CHANCE = 0.3  # of a thing that can stand on another one doing so
_TRIES = 12


def draw_scene(rng: np.random.Generator, *, side: int, max_objects: int) -> Scene:
    """Draw one scene.

    Args:
        rng: Decides everything.
        side: Of the square picture in pixels.
        max_objects: Most things in it.

    Returns:
        A scene of 1 to `max_objects` things, each visible.
    """
    backdrop = draw_background(rng, side=side)
    light = _light(rng)
    sprites: list[Sprite] = []
    boxes: list[Box] = []
    roofs: dict[int, tuple[float, float, float]] = {}
    look: tuple[Shape, str, str, str] | None = None
    for _ in range(sample_count(rng, max_objects=max_objects)):
        if look is None or rng.random() >= _TWIN_CHANCE:
            look = _sample_look(rng)
        shape, size, material, color = look
        low, high = SIZES[size]
        height = float(rng.uniform(low, high)) * shape.stretch * side
        width = height * shape.width
        spot = _place(
            rng, boxes=boxes, roofs=roofs, size=(height, width), side=side, horizon=backdrop.horizon
        )
        if spot is None:
            continue
        x, foot, carrier = spot
        if shape.roof is not None and carrier is None:
            roofs[len(sprites)] = (x, foot - height * shape.roof, width)
        boxes.append((x - width / 2, foot - height, x + width / 2, foot))
        sprites.append(
            _sprite(
                look, rng, light=light, height=height, x=x, foot=foot, carrier=carrier, side=side
            )
        )
    ordered = _back_to_front(sprites)
    kept, ids, hidden = canvas.drop_hidden(ordered, side=side)
    return Scene(
        picture=canvas.paint(backdrop.picture, kept),
        things=canvas.to_things(kept, ids, hidden),
        setting=backdrop.setting,
        decor=backdrop.decor,
    )


def sample_count(rng: np.random.Generator, *, max_objects: int) -> int:
    """How many things a picture is to hold."""
    weights = np.array(COUNT_WEIGHTS[:max_objects])
    return 1 + int(np.searchsorted(np.cumsum(weights) / weights.sum(), rng.random(), side="right"))


def _light(rng: np.random.Generator) -> tuple[float, float, float]:
    x, y, z = (
        float(rng.choice([-1, 1]) * rng.uniform(0.35, 0.65)),
        float(rng.uniform(0.45, 0.7)),
        0.6,
    )
    length = float(np.sqrt(x * x + y * y + z * z))
    return x / length, y / length, z / length


def _sample_look(rng: np.random.Generator) -> tuple[Shape, str, str, str]:
    return (
        SHAPES[int(rng.integers(len(SHAPES)))],
        _pick(rng, list(SIZES), _SIZE_WEIGHTS),
        _pick(rng, list(MATERIALS), _MATERIAL_WEIGHTS),
        list(COLORS)[int(rng.integers(len(COLORS)))],
    )


def _pick(rng: np.random.Generator, words: Sequence[str], weights: Sequence[float]) -> str:
    return words[
        int(np.searchsorted(np.cumsum(weights), rng.random() * sum(weights), side="right"))
    ]


def _place(
    rng: np.random.Generator,
    *,
    boxes: Sequence[Box],
    roofs: dict[int, tuple[float, float, float]],
    size: tuple[float, float],
    side: int,
    horizon: float,
) -> tuple[float, float, int | None] | None:
    """Find x, foot and carrier of a thing so that it covers no other too much."""
    height, width = size
    for carrier, (x, roof, carrier_width) in roofs.items():
        fits = width < 0.85 * carrier_width and roof - height > 2
        if fits and rng.random() < _STACK_CHANCE:
            roofs.pop(carrier)
            return x, roof, carrier
    highest = max(horizon * side + 0.06 * side, height + 2)
    for _ in range(_TRIES):
        x = float(rng.uniform(width / 2, side - width / 2)) if width < side else side / 2
        foot = float(rng.uniform(highest, 0.975 * side)) if highest < 0.975 * side else 0.975 * side
        box = (x - width / 2, foot - height, x + width / 2, foot)
        if all(_overlap(box, other) < 0.4 for other in boxes):
            return x, foot, None
    return None


def _overlap(first: Box, second: Box) -> float:
    """Intersection over the smaller box."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (first, second)]
    return width * height / min(areas)


def _sprite(
    look: tuple[Shape, str, str, str],
    rng: np.random.Generator,
    *,
    light: tuple[float, float, float],
    height: float,
    x: float,
    foot: float,
    carrier: int | None,
    side: int,
) -> Sprite:
    shape, size, material, color = look
    sheet = Sheet(height_px=height, width=shape.width, light=light)
    shape.draw(sheet, rng)
    # a common change of brightness and hardly any of hue: a pinkish white would be no white
    tint = np.array(COLORS[color]) * rng.uniform(0.9, 1.06) * rng.uniform(0.98, 1.02, 3)
    width = height * shape.width
    return Sprite(
        color=shade(sheet, color=tuple(tint), material=material, rng=rng),
        alpha=sheet.cover,
        left=round(x - sheet.axis_x),
        top=round(foot - sheet.foot_y),
        foot=foot,
        look=Look(
            noun=shape.noun,
            adjectives=_adjectives(size, material, color),
            plural=shape.plural,
        ),
        depth=round(1000 + 3000 * foot / side, 2),
        carrier=carrier,
        shadow=(x - light[0] * 0.3 * width, foot - 0.02 * height, 0.52 * width, 0.1 * height + 1),
    )


def _adjectives(size: str, material: str, color: str) -> tuple[str, ...]:
    """In the order of English: a small striped red ball, a small red metal ball."""
    words = (size, color, material) if material == "metal" else (size, material, color)
    return tuple(word for word in words if word)


def _back_to_front(sprites: Sequence[Sprite]) -> list[Sprite]:
    """Sort by what stands further back; what is carried comes right after its carrier."""

    def key(index: int) -> tuple[float, int]:
        carrier = sprites[index].carrier
        return (sprites[index].foot, 0) if carrier is None else (sprites[carrier].foot, 1)

    order = sorted(range(len(sprites)), key=key)
    new_index = {old: new for new, old in enumerate(order)}
    return [_moved(sprites[old], new_index) for old in order]


def _moved(sprite: Sprite, new_index: dict[int, int]) -> Sprite:
    if sprite.carrier is None:
        return sprite
    return replace(sprite, carrier=new_index[sprite.carrier])
