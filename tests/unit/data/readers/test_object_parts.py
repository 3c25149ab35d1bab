import pytest

from glamm.data.readers.object_parts import without_sense
from glamm.geometry import masks
from tests.builders.own_data import copy_format, edit_json, read_records

FILE = "pascal_part/train.json"


def test_part_is_named_in_two_ways(tmp_path):
    records, _ = read_records("pascal_part", copy_format("pascal_part", tmp_path))

    [sample] = records[0].samples
    assert [target.text for target in sample.targets[:2]] == ["dog head", "the head of the dog"]


@pytest.mark.parametrize(
    ("name", "text"),
    [("bow_(weapon)", "bow"), ("mug", "mug"), ("", "")],
    ids=["with a sense", "without", "empty"],
)
def test_sense_is_removed_from_a_name(name, text):
    assert without_sense(name) == text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"category_id": 99}, "record annotation 500, field category_id: 99 is not among"),
        ({"segmentation": []}, "record annotation 500, field segmentation: has no pixels"),
        ({"segmentation": "x"}, "record annotation 500, field segmentation: must be polygons"),
    ],
    ids=["category", "no pixels", "text"],
)
def test_invalid_annotation_is_left_out_alone(tmp_path, changes, message):
    root = copy_format("pascal_part", tmp_path)
    edit_json(root / FILE, lambda content: content["annotations"][0].update(changes))

    records, issues = read_records("pascal_part", root)

    assert [obj.id for obj in records[0].samples[0].objects] == [501, 502]
    assert message in issues[0]


def test_object_without_a_box_has_that_of_its_mask(tmp_path):
    root = copy_format("pascal_part", tmp_path)
    whole, _ = read_records("pascal_part", root)
    edit_json(root / FILE, lambda content: content["annotations"][0].update(bbox=None))

    records, issues = read_records("pascal_part", root)

    first, of_whole = (found[0].samples[0].objects[0] for found in (records, whole))
    assert first.mask == of_whole.mask
    assert first.box == masks.box_of(first.mask)
    assert not any("annotation 500" in issue for issue in issues)


def test_image_without_a_valid_annotation_is_left_out(tmp_path):
    root = copy_format("pascal_part", tmp_path)

    def remove_categories(content):
        for annotation in content["annotations"][:3]:
            annotation["category_id"] = 99

    edit_json(root / FILE, remove_categories)

    records, issues = read_records("pascal_part", root)

    assert len(records) == 2
    assert any(
        "record image 1824: none of its annotations can be used" in issue for issue in issues
    )
