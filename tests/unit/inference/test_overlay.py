import numpy as np
import pytest

from glamm.geometry.palette import color_of
from glamm.inference.overlay import draw_overlay, draw_side_by_side

IMAGE = np.full((60, 80, 3), 128, dtype=np.uint8)
TEXT = "A red ball lies beside a green box."


def _masks() -> np.ndarray:
    masks = np.zeros((2, 60, 80), dtype=bool)
    masks[0, 10:30, 10:30] = True
    masks[1, 35:55, 45:75] = True
    return masks


def test_overlay_leaves_what_is_outside_the_masks() -> None:
    drawn = draw_overlay(IMAGE, _masks(), ["A red ball", "a green box"], TEXT)

    factor = drawn.shape[1] // 80
    assert drawn[3 * factor, 70 * factor].tolist() == [128, 128, 128]


def test_overlay_of_the_same_answer_is_the_same() -> None:
    answer = (["A red ball", "a green box"], TEXT)

    assert np.array_equal(
        draw_overlay(IMAGE, _masks(), *answer), draw_overlay(IMAGE, _masks(), *answer)
    )


def test_overlay_grows_with_its_text() -> None:
    short = draw_overlay(IMAGE, _masks(), ["", "not in the text"], TEXT)
    long = draw_overlay(IMAGE, _masks(), ["", "not in the text"], TEXT * 20 + "x" * 2000)

    assert long.shape[1] == short.shape[1]
    assert long.shape[0] > short.shape[0] + 100


@pytest.mark.parametrize(
    "size", [(1, 1), (3, 200), (200, 3), (700, 900)], ids=["pixel", "flat", "narrow", "large"]
)
def test_images_of_any_size_are_drawn(size: tuple[int, int]) -> None:
    image = np.zeros((*size, 3), dtype=np.uint8)

    full = draw_overlay(image, np.ones((1, *size), dtype=bool), ["a wall"], "a wall \u732b \n!")
    none = draw_overlay(image, np.zeros((0, *size), dtype=bool), [], "")

    assert full.dtype == none.dtype == np.uint8
    assert full.shape[1] == none.shape[1]


def test_numbers_of_the_same_mask_stand_side_by_side() -> None:
    masks = np.stack([_masks()[1]] * 2)

    one = draw_overlay(IMAGE, masks[:1], ["a"], "a")
    two = draw_overlay(IMAGE, masks, ["a", "b"], "a b")

    factor = one.shape[1] // 80
    inside = np.s_[38 * factor : 52 * factor, 48 * factor : 72 * factor]
    disks = [(drawn[inside] == color_of(0)).all(-1).sum() for drawn in (one, two)]
    assert disks[0] == disks[1] > 100


def test_masks_without_phrases_are_refused() -> None:
    with pytest.raises(ValueError, match="2 masks need as many phrases, not 1"):
        draw_overlay(IMAGE, _masks(), ["one"], TEXT)


def test_two_images_are_put_side_by_side() -> None:
    low, high = np.zeros((10, 40, 3), dtype=np.uint8), np.zeros((30, 50, 3), dtype=np.uint8)

    both = draw_side_by_side(low, high, titles=("answer", "ground truth"))

    assert both.shape[1] == 40 + 8 + 50
