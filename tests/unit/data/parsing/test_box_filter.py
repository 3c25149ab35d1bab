import pytest

from glamm.data.parsing.box_filter import BoxedAnnotation, DroppedAnnotation, filter_boxes
from tests.builders.data import SIZE

VALID = {"id": 7, "bbox": [1, 2, 3, 4]}


def test_valid_annotation_counts():
    annotation = VALID | {"area": 12, "caption": "a cup"}

    [result] = filter_boxes([annotation], SIZE)

    assert result == BoxedAnnotation(7, (1.0, 2.0, 4.0, 6.0), annotation)


def test_box_may_reach_outside_the_image():
    [result] = filter_boxes([VALID | {"bbox": [-5, -5, 100, 100]}], SIZE)

    assert result.box == (-5, -5, 95, 95)


@pytest.mark.parametrize(
    ("change", "reason", "field"),
    [
        ({"ignore": 1}, "marked ignore", None),
        ({"area": 0}, "area 0", None),
        ({"bbox": [1, 2, 0.5, 4]}, "box narrower than 1 px", None),
        ({"bbox": [1, 2, 3, 0.5]}, "box lower than 1 px", None),
        ({"bbox": [32, 2, 3, 4]}, "box outside the picture", None),
        ({"bbox": [1, -9, 3, 4]}, "box outside the picture", None),
        ({"bbox": None}, "is missing", "bbox"),
        ({"bbox": [1, 2, 3, float("nan")]}, "holds a number that is not finite", "bbox"),
        ({"area": "large"}, "must hold numbers, holds text", "area"),
        ({"id": "seven"}, "must be a whole number, is text", "id"),
    ],
    ids=["ignore", "area", "narrow", "low", "right", "above", "no box", "nan", "text area", "text id"],
)  # fmt: skip
def test_annotation_that_does_not_count_has_a_reason(change, reason, field):
    annotation = VALID | change

    [result] = filter_boxes([annotation], SIZE)

    assert result == DroppedAnnotation(annotation["id"], reason, field)


@pytest.mark.parametrize(
    ("field", "path"),
    [("bbox", "annotation 7.bbox"), (None, "annotation 7")],
    ids=["invalid field", "rule"],
)
def test_dropped_annotation_names_its_field_of_the_record(field, path):
    assert DroppedAnnotation(7, "is wrong", field).location_field == path
