import math

import numpy as np
import pytest

from glamm.geometry import masks
from glamm.geometry.outlines import ellipse, rectangle, turned


def area(outline):
    """By the shoelace formula."""
    x, y = outline.T
    return abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2


@pytest.mark.parametrize(
    ("corner", "opposite"),
    [((2.0, 3.0), (12.0, 8.0)), ((12.0, 8.0), (2.0, 3.0)), ((2.0, 8.0), (12.0, 3.0))],
    ids=["first corner", "last corner", "lower left corner"],
)
def test_rectangle_has_the_corners_in_the_order_of_its_outline(corner, opposite):
    assert area(rectangle(corner, opposite)) == 50


def test_ellipse_has_its_extent_and_its_area():
    outline = ellipse((110.0, 90.0), (20.0, 10.0))

    assert np.allclose(outline.min(axis=0), (90.0, 80.0))
    assert np.allclose(outline.max(axis=0), (130.0, 100.0))
    assert area(outline) == pytest.approx(math.pi * 20 * 10, rel=1e-3)


@pytest.mark.parametrize("degrees", [90, -270, 450, 90 + 360 * 10**6])
def test_quarter_turn_swaps_the_sides(degrees):
    outline = turned(rectangle((20.0, 40.0), (60.0, 48.0)), float(degrees))

    assert np.allclose(
        sorted(outline.tolist()), [(36.0, 24.0), (36.0, 64.0), (44.0, 24.0), (44.0, 64.0)]
    )


def test_turn_is_clockwise_as_the_image_is_seen():
    first_corner = turned(rectangle((0.0, 0.0), (20.0, 10.0)), 30.0)[0]

    angle = math.radians(30)  # x points right and y down: the upper left corner moves right and up
    x, y = -10, -5
    assert first_corner == pytest.approx(
        (
            10 + x * math.cos(angle) - y * math.sin(angle),
            5 + x * math.sin(angle) + y * math.cos(angle),
        )
    )
    assert first_corner[0] > 0
    assert first_corner[1] < 0


@pytest.mark.parametrize("degrees", [0, 1, 30, 45, 59.5, 90, 135, 180, 270, 359, -33, 725])
def test_turned_box_covers_as_many_pixels_as_an_upright_one(degrees):
    outline = turned(rectangle((80.0, 30.0), (140.0, 40.0)), float(degrees))

    mask = masks.from_polygons([outline.ravel().tolist()], size=(120, 200))

    assert masks.area(mask) == pytest.approx(600, abs=40)  # a row of pixels is 60
