import pytest

from glamm.data.parsing.coco_segmentation import parse_segmentation, polygon_mask, usable_box
from glamm.errors import DataError
from glamm.geometry import masks
from tests.builders.data import SIZE, rectangle

SQUARE = [2, 2, 12, 2, 12, 12, 2, 12]  # 100 pixels
OTHER_SIZE = (8, 8)


def compressed(mask):
    return {"size": list(mask.size), "counts": mask.counts.decode()}


@pytest.mark.parametrize(
    ("value", "area"),
    [
        (None, 0),
        ([], 0),
        ([SQUARE], 100),
        (SQUARE, 100),
        ([SQUARE, [20, 2, 25, 2, 25, 4, 20, 4]], 110),
        ([SQUARE, SQUARE], 100),
        (compressed(rectangle(0, 0, 3, 4)), 12),
        ([compressed(rectangle(0, 0, 3, 4)), SQUARE], 110),
        ({"size": list(SIZE), "counts": [24, 48, SIZE[0] * SIZE[1] - 72]}, 48),
    ],
    ids=[
        "null", "empty list", "polygon", "polygon without a list", "two polygons", "same polygon twice",
        "compressed", "code and polygon", "uncompressed",
    ],
)  # fmt: skip
def test_every_form_of_a_segmentation_is_read(value, area):
    reasons = []

    segmentation = parse_segmentation(value, "segmentation", size=SIZE, report=reasons.append)

    assert (segmentation.area, reasons) == (area, [])


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        ([1, 2, 3, 4], "a polygon needs three points or more, x and y each: it has 4 numbers"),
        ([*SQUARE, 1], "a polygon needs three points or more, x and y each: it has 9 numbers"),
        ([1e7, 0, 0, 0, 0, 1], "the outline of a polygon is longer than 2,000,000 pixels"),
        ("text", "must be a polygon (a list of numbers)"),
        (compressed(rectangle(0, 0, 3, 4, OTHER_SIZE)), "mask is (8, 8), the image (24, 32) (height, width)"),
        ({"size": list(SIZE), "counts": [1, 2]}, "mask runs add up to 3 pixels, the size 24 x 32 needs 768"),
        ({"size": [1], "counts": [1]}, "needs a size [height, width]"),
    ],
    ids=["two points", "odd count", "long outline", "text", "other size", "short runs", "no size"],
)  # fmt: skip
def test_invalid_part_is_reported_and_the_others_are_kept(part, reason):
    reasons = []

    segmentation = parse_segmentation(
        [part, SQUARE], "segmentation", size=SIZE, report=reasons.append
    )

    assert segmentation.area == 100
    assert reasons == [reason]


def test_value_that_is_no_segmentation_is_an_error():
    with pytest.raises(DataError, match=r"^field seg: must be polygons or run-length codes$"):
        parse_segmentation(3, "seg", size=SIZE, report=lambda _: None)


def test_polygon_is_clipped_to_the_image():
    mask = polygon_mask([-5, -5, 10, -5, 10, 5, -5, 5], "points", size=SIZE)

    assert masks.box_of(mask) == (0, 0, 10, 5)


@pytest.mark.parametrize(
    ("box", "mask", "expected"),
    [
        ((1.0, 2.0, 3.0, 4.0), None, (1, 2, 3, 4)),
        ((-5.0, 2.0, 99.0, 4.0), rectangle(1, 1, 2, 2), (0, 2, 32, 4)),
        ((1.0, 2.0, 1.5, 4.0), rectangle(5, 6, 7, 8), (5, 6, 7, 8)),
        (None, rectangle(5, 6, 7, 8), (5, 6, 7, 8)),
        (None, rectangle(0, 0, 0, 0), None),
        ((40.0, 2.0, 50.0, 4.0), None, None),
    ],
    ids=["inside", "clipped", "thin", "no box", "empty mask", "outside"],
)
def test_usable_box_is_inside_the_image(box, mask, expected):
    assert usable_box(box, mask, size=SIZE) == expected
