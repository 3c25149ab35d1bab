"""Colors and surfaces: from brightness to pixels."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from glamm.synthetic.array_types import Color, Gray, Layer, constant_layer, repeat_channels
from glamm.synthetic.shapes import Sheet

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


def _plain(sheet: Sheet, color: Layer, rng: np.random.Generator) -> Layer:  # noqa: ARG001 - one signature
    return color


def _metal(sheet: Sheet, color: Layer, rng: np.random.Generator) -> Layer:
    # a dark and a bright band, as polished metal mirrors a horizon
    band = np.sin(9.5 * sheet.y + 3.0 * sheet.x + float(rng.uniform(0, 2 * np.pi)))
    dull = color * 0.8 + 0.2 * color[0, 0].mean()
    return dull * repeat_channels(0.78 + 0.2 * band) + repeat_channels(
        120 * np.clip(band, 0, 1) ** 2
    )


def _striped(sheet: Sheet, color: Layer, rng: np.random.Generator) -> Layer:
    angle = float(rng.uniform(-0.5, 0.5)) + (np.pi / 2 if rng.random() < 0.5 else 0.0)
    wave = np.sin(
        (sheet.x * np.cos(angle) + sheet.y * np.sin(angle)) * 24 + float(rng.uniform(0, 6))
    )
    return _mix(color, _contrast(color), np.clip(wave * 2.5 + 0.5, 0, 1))


def _spotted(sheet: Sheet, color: Layer, rng: np.random.Generator) -> Layer:
    offset = float(rng.uniform(0, 6))
    x, y = sheet.x * 15 + offset, sheet.y * 15 + offset
    wave = np.cos(x + y) + np.cos(x - y)
    return _mix(color, _contrast(color), np.clip((wave - 0.75) * 3.0, 0, 1))


def _contrast(color: Layer) -> Layer:
    """Light marks on dark colors, dark marks on light ones."""
    return color * 0.3 if float(color[0, 0].mean()) > 160 else color * 0.15 + 255 * 0.82


def _mix(color: Layer, other: Layer, part: Gray) -> Layer:
    return color + repeat_channels(part) * (other - color)


MATERIALS: dict[str, Callable[[Sheet, Layer, np.random.Generator], Layer]] = {
    "": _plain,
    "metal": _metal,
    "striped": _striped,
    "spotted": _spotted,
}
"""By the adjective in captions; the plain surface has none."""


def shade(
    sheet: Sheet, *, color: Float[np.ndarray, " 3"], material: str, rng: np.random.Generator
) -> Layer:
    """Turn the brightness of a sheet into pixels.

    Args:
        sheet: A finished shape.
        color: Blue, green, red of the material under white light, 0 to 255.
        material: A key of MATERIALS.
        rng: Where the pattern begins.

    Returns:
        Blue, green, red, 0 to 255.
    """
    base = constant_layer(
        color.astype(np.float32), rows=sheet.cover.shape[0], columns=sheet.cover.shape[1]
    )
    surface = MATERIALS[material](sheet, base, rng)
    # what is brighter than the color itself goes to white, as a highlight does
    lit = surface * repeat_channels(np.minimum(sheet.brightness, 1.0))
    lit += repeat_channels(np.maximum(sheet.brightness - 1.0, 0.0) * 220)
    return np.clip(lit, 0, 255)
