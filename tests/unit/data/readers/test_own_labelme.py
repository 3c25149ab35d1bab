import json

import pytest

from glamm.geometry import masks
from tests.builders.own_data import labelme_root, read_records


def change_file(root, **fields):
    path = root / "0.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def test_shapes_of_a_group_are_one_object(tmp_path):
    records, issues = read_records("labelme", labelme_root(tmp_path))

    assert len(records) == 3
    [sample] = records[0].samples
    assert [masks.area(obj.mask) for obj in sample.objects] == [100 + 32, 52]
    assert [(target.text, target.object_ids) for target in sample.targets] == [("cup", (0, 1))]
    assert "field shapes[3].shape_type: 'line' is no shape with an area" in issues[0]


def test_image_path_is_relative_to_the_file(tmp_path):
    root = labelme_root(tmp_path)
    (root / "annotations").mkdir()
    content = json.loads((root / "0.json").read_text()) | {"imagePath": "..\\0.jpg"}
    (root / "annotations/0.json").write_text(json.dumps(content))

    records, _ = read_records("labelme", root)

    assert len(records) == 4


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"imagePath": "../0.jpg"}, "field imagePath: '../0.jpg' leaves the data set's folder"),
        ({"imagePath": None}, "field imagePath: is missing"),
        ({"imageHeight": 24.5}, "field imageHeight: must be a whole number, is float"),
        ({"imageHeight": 0}, "field imageHeight, imageWidth: must be height and width in pixels"),
        ({"shapes": {}}, "field shapes: must be a list, is an object"),
        ({"shapes": []}, "no shape covers a pixel of the image"),
    ],
    ids=["outside", "no path", "fraction", "no height", "shapes", "no shapes"],
)
def test_invalid_file_is_left_out_alone(tmp_path, fields, message):
    root = labelme_root(tmp_path)
    change_file(root, **fields)

    records, issues = read_records("labelme", root)

    assert len(records) == 2
    assert any(message in issue for issue in issues)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ({"label": " ", "points": []}, "field shapes[0].label: is empty"),
        ({"label": 3}, "field shapes[0].label: must be text, is int"),
        ({"label": "a", "points": [[1, 2], [3]]}, "field shapes[0].points[1][1]: is missing"),
        (
            {"label": "a", "points": [[1, 2]]},
            "field shapes[0].points: a polygon needs three points",
        ),
        (3, "field shapes[0]: must be an object, is int"),
    ],
    ids=["empty label", "number", "half a point", "one point", "no object"],
)
def test_invalid_shape_is_left_out_alone(tmp_path, shape, message):
    root = labelme_root(tmp_path)
    valid = {"label": "cup", "points": [[2, 2], [12, 12]], "shape_type": "rectangle"}
    change_file(root, shapes=[shape, valid])

    records, issues = read_records("labelme", root)

    assert len(records[0].samples[0].objects) == 1
    assert message in issues[0]
