"""Colours and surfaces: from brightness to pixels."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Float32

from glamm.synthetic.shapes import Field, Sheet

Color = tuple[float, float, float]

COLORS: dict[str, Color] = {  # blue, green, red, 0 to 255
    "red": (45, 40, 215),
    "orange": (30, 135, 245),
    "yellow": (50, 215, 250),
    "green": (70, 165, 45),
    "blue": (215, 95, 40),
    "purple": (175, 50, 130),
    "white": (240, 242, 244),
    "black": (52, 48, 48),
}

Pattern = Float32[np.ndarray, "h w 3"]


def _plain(sheet: Sheet, color: Pattern, rng: np.random.Generator) -> Pattern:  # noqa: ARG001 - one signature
    return color


def _metal(sheet: Sheet, color: Pattern, rng: np.random.Generator) -> Pattern:
    # a dark and a bright band, as polished metal mirrors a horizon
    band = np.sin(9.5 * sheet.y + 3.0 * sheet.x + float(rng.uniform(0, 2 * np.pi)))
    glow = np.clip(band, 0, 1)[..., None] ** 2
    dull = color * 0.8 + 0.2 * color.mean(axis=-1, keepdims=True)
    return dull * (0.78 + 0.2 * band[..., None]) + 120 * glow


def _striped(sheet: Sheet, color: Pattern, rng: np.random.Generator) -> Pattern:
    angle = float(rng.uniform(-0.5, 0.5)) + (np.pi / 2 if rng.random() < 0.5 else 0.0)
    wave = np.sin(
        (sheet.x * np.cos(angle) + sheet.y * np.sin(angle)) * 24 + float(rng.uniform(0, 6))
    )
    return _mix(color, _contrast(color), np.clip(wave * 2.5 + 0.5, 0, 1))


def _spotted(sheet: Sheet, color: Pattern, rng: np.random.Generator) -> Pattern:
    offset = float(rng.uniform(0, 6))
    x, y = sheet.x * 15 + offset, sheet.y * 15 + offset
    wave = np.cos(x + y) + np.cos(x - y)
    return _mix(color, _contrast(color), np.clip((wave - 0.75) * 3.0, 0, 1))


def _contrast(color: Pattern) -> Pattern:
    """Light marks on dark things, dark marks on light ones."""
    return color * 0.3 if float(color.mean()) > 160 else color * 0.15 + 255 * 0.82


def _mix(color: Pattern, other: Pattern, part: Field) -> Pattern:
    return color + part[..., None].astype(np.float32) * (other - color)


MATERIALS: dict[str, Callable[[Sheet, Pattern, np.random.Generator], Pattern]] = {
    "": _plain,
    "metal": _metal,
    "striped": _striped,
    "spotted": _spotted,
}
"""By the word that captions use; the plain surface has none."""


def shade(
    sheet: Sheet, *, color: Float[np.ndarray, " 3"], material: str, rng: np.random.Generator
) -> Pattern:
    """Turn the brightness of a sheet into pixels.

    Args:
        sheet: A finished shape.
        color: Of the material under white light.
        material: A key of MATERIALS.
        rng: Where the pattern lies.

    Returns:
        Blue, green, red, 0 to 255.
    """
    base = np.empty((*sheet.cover.shape, 3), dtype=np.float32)
    base[:] = color
    surface = MATERIALS[material](sheet, base, rng)
    light = sheet.brightness[..., None]
    # what is brighter than the colour itself goes to white, as a highlight does
    lit = surface * np.minimum(light, 1.0)
    return np.clip(lit + np.maximum(light - 1.0, 0.0) * 220, 0, 255).astype(np.float32)
