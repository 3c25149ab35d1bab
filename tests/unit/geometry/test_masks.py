import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco

from glamm.geometry import masks
from glamm.structures.sample import Mask

PIXELS = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=24))
PAIRS = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=16).flatmap(
    lambda shape: st.tuples(hnp.arrays(bool, shape), hnp.arrays(bool, shape))
)


@given(pixels=PIXELS)
def test_decode_is_inverse_of_encode(pixels):
    assert (masks.decode(masks.encode(pixels)) == pixels).all()


@given(pixels=PIXELS)
def test_runs_are_those_of_pycocotools(pixels):
    code = coco.encode(np.asfortranarray(pixels, dtype=np.uint8))
    runs = masks.run_lengths(code["counts"])

    flat = np.repeat(np.arange(len(runs)) % 2, runs)
    assert (pixels == flat.reshape(pixels.shape[::-1]).T).all()


@given(pixels=PIXELS)
def test_area_and_box_are_those_of_the_pixels(pixels):
    mask = masks.encode(pixels)

    assert masks.area(mask) == pixels.sum()
    assert masks.box_of(mask) == masks.to_box(pixels)


@given(pixels=PIXELS)
def test_box_is_tight(pixels):
    box = masks.to_box(pixels)

    if box is None:
        assert not pixels.any()
        return
    x1, y1, x2, y2 = (int(value) for value in box)
    inside = pixels[y1:y2, x1:x2]
    assert inside.sum() == pixels.sum()
    assert all(edge.any() for edge in (inside[0], inside[-1], inside[:, 0], inside[:, -1]))


@given(pair=PAIRS)
def test_union_is_every_pixel_of_any(pair):
    one, two = pair

    union = masks.union([masks.encode(one), masks.encode(two)])

    assert (masks.decode(union) == (one | two)).all()


@given(pixels=PIXELS, factor=st.integers(1, 4))
def test_resize_undoes_an_enlargement(pixels, factor):
    enlarged = np.kron(pixels, np.ones((factor, factor), bool))

    assert (masks.resize(enlarged, pixels.shape) == pixels).all()
    assert (masks.coverage(enlarged, pixels.shape) == pixels).all()


def test_half_a_pixel_is_enough_to_be_resized_to_it():
    pixels = np.array([[1, 1, 1, 0], [0, 0, 0, 0]], dtype=bool)

    assert masks.resize(pixels, (1, 2)).tolist() == [[True, False]]
    assert masks.coverage(pixels, (1, 2)).tolist() == [[0.5, 0.25]]


@given(pixels=PIXELS)
def test_runs_that_do_not_fill_the_image_are_refused(pixels):
    mask = masks.encode(pixels)
    height, width = mask.size

    with pytest.raises(ValueError, match="add up to"):
        masks.decode(Mask((height, width + 1), mask.counts))


@given(counts=st.binary(max_size=12))
def test_any_bytes_are_runs_or_an_error(counts):
    try:
        runs = masks.run_lengths(counts)
    except ValueError:
        return
    assert all(run >= 0 for run in runs)


def test_a_cut_code_is_refused():
    counts = masks.encode(np.eye(40, dtype=bool)).counts

    with pytest.raises(ValueError, match=r"add up to|middle of a number"):
        masks.decode(Mask((40, 40), counts[:-1]))


def test_union_of_different_sizes_or_of_nothing_is_refused():
    with pytest.raises(ValueError, match="different sizes"):
        masks.union([masks.encode(np.ones((2, 2), bool)), masks.encode(np.ones((2, 3), bool))])
    with pytest.raises(ValueError, match="no masks"):
        masks.union([])


SQUARES = [[0.0, 0.0, 4.0, 0.0, 4.0, 4.0, 0.0, 4.0], [2.0, 2.0, 6.0, 2.0, 6.0, 6.0, 2.0, 6.0]]


def test_polygons_are_united():
    mask = masks.from_polygons(SQUARES, size=(8, 8))

    pixels = masks.decode(mask)
    assert pixels[:4, :4].all()
    assert pixels[2:6, 2:6].all()
    assert pixels.sum() == 16 + 16 - 4


def test_stack_of_no_masks_is_empty():
    assert masks.decode_stack([], size=(3, 4)).shape == (0, 3, 4)
