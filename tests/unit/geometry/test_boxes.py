import pytest
from hypothesis import given
from hypothesis import strategies as st

from glamm.geometry import boxes

SIZES = st.tuples(st.integers(1, 5000), st.integers(1, 5000))
CORNERS = st.tuples(*[st.floats(-6000, 6000)] * 4)


@given(box=CORNERS, size=SIZES)
def test_unit_boxes_are_fractions_of_width_and_height(box, size):
    height, width = size

    x1, y1, x2, y2 = boxes.to_unit(box, size=size)

    assert (x1 * width, y1 * height, x2 * width, y2 * height) == pytest.approx(box, abs=1e-6)


@given(size=SIZES)
def test_whole_image_is_the_unit_square(size):
    height, width = size

    assert boxes.to_unit((0.0, 0.0, float(width), float(height)), size=size) == (0, 0, 1, 1)


@given(
    left=st.floats(0, 99), top=st.floats(0, 99), width=st.floats(0.1, 99), height=st.floats(0.1, 99)
)
def test_coco_box_becomes_its_corners(left, top, width, height):
    x1, y1, x2, y2 = boxes.from_xywh([left, top, width, height])

    assert (x1, y1) == (left, top)
    assert (x2 - x1, y2 - y1) == pytest.approx((width, height))


@given(box=CORNERS, size=SIZES)
def test_clip_is_idempotent_and_keeps_what_is_inside(box, size):
    clipped = boxes.clip(box, size=size)

    assert boxes.clip(clipped, size=size) == clipped
    assert all(isinstance(value, float) for value in clipped)
    if boxes.is_inside(box, size=size):
        assert clipped == box


def test_inside_counts_the_edges_and_the_tolerance():
    size = (10, 20)

    assert boxes.is_inside((0.0, 0.0, 20.0, 10.0), size=size)
    assert not boxes.is_inside((0.0, 0.0, 20.5, 10.0), size=size)
    assert boxes.is_inside((-0.5, 0.0, 20.5, 10.0), size=size, tolerance_px=0.5)
    assert not boxes.is_inside((5.0, 5.0, 5.0, 8.0), size=size)
    assert not boxes.is_inside((5.0, 5.0, float("nan"), 8.0), size=size)
