"""Colors that tell the masks of an image apart, in overlays, reports and pages."""

import colorsys
from typing import TypeAlias

Color: TypeAlias = tuple[int, int, int]
"""Red, green, blue, 0 to 255."""

# Neighbors in this order differ also for people with the common kinds of color blindness.
_FIRST_COLORS: tuple[Color, ...] = (
    (230, 75, 53), (38, 132, 214), (243, 176, 28), (0, 158, 115), (150, 84, 200), (240, 112, 170),
    (86, 190, 233), (140, 160, 30), (213, 94, 0), (90, 105, 225), (0, 140, 140), (165, 105, 70),
)  # fmt: skip
_GOLDEN_ANGLE = 0.618034  # of a full turn of hues

FILL_OPACITY = 0.14
"""Share of a mask's color in its fill: low, because the object's own color must stay recognizable."""


def color_of(index: int) -> Color:
    """The color of the mask with this index; after the listed ones, hues that follow each other by the golden angle."""
    if index < len(_FIRST_COLORS):
        return _FIRST_COLORS[index]
    red, green, blue = colorsys.hsv_to_rgb((index * _GOLDEN_ANGLE) % 1.0, 0.75, 0.85)
    return round(red * 255), round(green * 255), round(blue * 255)


def hex_color(color: Color) -> str:
    """As CSS writes it: `#e64b35`."""
    return "#{:02x}{:02x}{:02x}".format(*color)
