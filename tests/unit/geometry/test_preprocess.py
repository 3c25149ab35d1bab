import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glamm.geometry.preprocess import global_pixels, grounding_pixels, longest_side_size

SIDES = st.integers(1, 90)


def image(height, width):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@given(height=SIDES, width=SIDES, is_cropped=st.booleans())
def test_global_pixels_fill_the_square(height, width, is_cropped):
    pixels = global_pixels(image(height, width), side=28, is_cropped=is_cropped)

    assert pixels.shape == (3, 28, 28)
    assert pixels.flags.c_contiguous


@given(height=SIDES, width=SIDES)
def test_grounding_pixels_are_top_left_and_padded_with_zeros(height, width):
    pixels, (filled_height, filled_width) = grounding_pixels(image(height, width), side=32)

    assert max(filled_height, filled_width) == 32
    assert not pixels[:, filled_height:].any()
    assert not pixels[:, :, filled_width:].any()
    scale = 32 / max(height, width)
    assert filled_height == max(1, int(height * scale + 0.5))
    assert filled_width == max(1, int(width * scale + 0.5))


@given(height=st.integers(1, 4000), width=st.integers(1, 4000), side=st.integers(1, 1024))
def test_longest_side_is_exact_and_no_side_vanishes(height, width, side):
    new_height, new_width = longest_side_size((height, width), side=side)

    assert max(new_height, new_width) == side
    assert min(new_height, new_width) >= 1


@pytest.mark.parametrize(
    ("size", "expected"),
    [((512, 768), (683, 1024)), ((1365, 1024), (1024, 768)), ((3, 4), (768, 1024))],
    ids=["landscape", "portrait", "tiny"],
)
def test_sizes_are_those_of_the_release(size, expected):
    assert longest_side_size(size, side=1024) == expected


def test_crop_keeps_the_center():
    height, width = 40, 80
    middle = image(height, width)

    cropped = global_pixels(middle, side=40, is_cropped=True)

    assert (cropped == middle[:, 20:60].transpose(2, 0, 1)).all()
