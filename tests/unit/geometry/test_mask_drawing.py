import numpy as np
import pytest

from glamm.geometry.mask_drawing import draw_masks
from glamm.geometry.palette import color_of

OBJECTS = {
    "red": (200, 30, 30),
    "green": (30, 150, 40),
    "blue": (40, 60, 200),
    "yellow": (250, 220, 40),
    "black": (15, 15, 15),
    "white": (245, 245, 245),
}
MASK = np.zeros((100, 100), dtype=bool)
MASK[20:80, 20:80] = True
INSIDE = np.s_[40:60, 40:60]


def distance(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.linalg.norm(np.asarray(first, float) - np.asarray(second, float)))


@pytest.mark.parametrize("index", range(12), ids="color-{}".format)
@pytest.mark.parametrize("name", OBJECTS)
def test_object_keeps_its_own_color(name: str, index: int) -> None:
    """A fill of 42 % made a red cone look green: among these objects the right one is always the nearest."""
    image = np.full((100, 100, 3), OBJECTS[name], dtype=np.uint8)

    shown = draw_masks(image, [MASK], [color_of(index)])[INSIDE].mean((0, 1))

    assert min(OBJECTS, key=lambda other: distance(shown, np.array(OBJECTS[other]))) == name
    change = distance(shown, np.array(OBJECTS[name]))
    assert change <= 0.25 * distance(np.array(color_of(index)), np.array(OBJECTS[name])) + 1


def test_outline_has_the_color_of_the_palette() -> None:
    image = np.full((100, 100, 3), 128, dtype=np.uint8)

    drawn = draw_masks(image, [MASK], [color_of(3)])

    assert drawn[50, 20].tolist() == list(color_of(3))
    assert drawn[5, 5].tolist() == [128, 128, 128]
    assert (image == 128).all()  # the image itself stays as it is


def test_both_outlines_of_equal_masks_are_seen() -> None:
    image = np.full((100, 100, 3), 128, dtype=np.uint8)

    drawn = draw_masks(image, [MASK, MASK], [color_of(0), color_of(1)])

    edge = {tuple(pixel) for pixel in drawn[20, 22:78].tolist()}
    assert {color_of(0), color_of(1)} <= edge


def test_small_mask_is_drawn_above_a_large_one() -> None:
    small = np.zeros_like(MASK)
    small[45:55, 45:55] = True
    image = np.full((100, 100, 3), 128, dtype=np.uint8)

    drawn = draw_masks(image, [small, MASK], [color_of(0), color_of(1)])

    assert drawn[45, 50].tolist() == list(color_of(0))
