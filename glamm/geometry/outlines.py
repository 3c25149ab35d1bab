"""Outlines of boxes and ellipses as polygons, upright or turned.

Axis names: ``points`` corners of a polygon, in the order of the outline.
"""

import math

import numpy as np
from jaxtyping import Float64

Outline = Float64[np.ndarray, "points 2"]
"""x, y of every corner in pixels."""

_NUM_ELLIPSE_POINTS = (
    256  # the outline of an ellipse of 1,000 pixels is off by less than a tenth of a pixel
)


def rectangle(corner: tuple[float, float], opposite: tuple[float, float]) -> Outline:
    """The four corners of an upright rectangle.

    Args:
        corner: x, y of any corner.
        opposite: x, y of the corner on the other side of the center.
    """
    (x1, y1), (x2, y2) = corner, opposite
    return np.array([(x1, y1), (x2, y1), (x2, y2), (x1, y2)], dtype=np.float64)


def ellipse(center: tuple[float, float], radii: tuple[float, float]) -> Outline:
    """Points on an upright ellipse.

    Args:
        center: x, y.
        radii: Half of the width and half of the height.
    """
    angles = np.linspace(0, 2 * math.pi, _NUM_ELLIPSE_POINTS, endpoint=False)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1) * radii + center


def turned(outline: Outline, degrees: float) -> Outline:
    """Turn an outline about the middle of its extent.

    Args:
        outline: Of a shape that is symmetrical about that middle.
        degrees: Clockwise, as seen in an image, whose y axis points down; of any size and sign.
    """
    angle = math.radians(math.fmod(degrees, 360))
    clockwise = np.array([(math.cos(angle), math.sin(angle)), (-math.sin(angle), math.cos(angle))])
    center = (outline.min(axis=0) + outline.max(axis=0)) / 2
    return (outline - center) @ clockwise + center
