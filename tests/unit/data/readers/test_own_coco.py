import json

import pytest

from tests.builders.data import SIZE
from tests.builders.own_data import SQUARE, areas_by_text, coco_root, read_records


def change_annotations(root, **fields):
    """Change the first annotation of the instances."""
    path = root / "annotations/instances_train.json"
    content = json.loads(path.read_text())
    content["annotations"][0] |= fields
    path.write_text(json.dumps(content))


def test_categories_and_captions_are_read(tmp_path):
    records, issues = read_records("coco", coco_root(tmp_path))

    assert issues == []
    assert [len(record.samples) for record in records] == [2, 2, 1]
    classes, caption = records[0].samples
    assert areas_by_text(classes) == {"cup": 100 + 78}
    assert caption.turns[1].text == "Image 0."
    assert records[1].samples[0].objects[0].is_crowd


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"category_id": 7}, "field annotation 10.category_id: 7 is not among the categories"),
        ({"category_id": None}, "field annotation 10.category_id: is missing"),
        ({"bbox": [1, 2]}, "field annotation 10.bbox: must be four numbers"),
        ({"segmentation": []}, "field annotation 10.segmentation: has no pixels"),
        ({"segmentation": 3}, "field annotation 10.segmentation: must be polygons"),
        ({"id": "ten"}, "field annotation ten.id: must be a whole number, is text"),
        ({"image_id": 99}, "record annotation 10, field image_id: image_id 99 is not among"),
    ],
    ids=["category", "no category", "box", "no pixels", "number", "text id", "image"],
)
def test_invalid_annotation_is_left_out_alone(tmp_path, fields, message):
    root = coco_root(tmp_path)
    change_annotations(root, **fields)

    records, issues = read_records("coco", root)

    assert len(issues) == 1
    assert message in issues[0]
    assert len(records) == 3
    assert areas_by_text(records[0].samples[0]) == {"cup": 78}


def test_invalid_part_of_a_segmentation_is_left_out_alone(tmp_path):
    root = coco_root(tmp_path)
    change_annotations(root, segmentation=[SQUARE, [1, 2]])

    records, issues = read_records("coco", root)

    assert "field annotation 10.segmentation: a polygon needs three points" in issues[0]
    assert areas_by_text(records[0].samples[0]) == {"cup": 100 + 78}


def test_empty_box_counts_as_a_missing_one(tmp_path):
    root = coco_root(tmp_path)
    change_annotations(root, bbox=[])

    records, issues = read_records("coco", root)

    assert issues == []
    assert records[0].samples[0].objects[0].box == (2, 2, 12, 12)


def test_image_of_another_size_is_left_out(tmp_path):
    root = coco_root(tmp_path)
    path = root / "annotations/instances_train.json"
    content = json.loads(path.read_text())
    content["images"][0]["height"] = SIZE[0] + 1
    path.write_text(json.dumps(content))

    records, issues = read_records("coco", root)

    assert len(records) == 2
    assert "record image 0, field height, width: are stated as 25 x 32" in issues[0]
