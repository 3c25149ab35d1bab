import json

import pytest

from glamm.data.parsing.coco_json import CocoInstance, read_coco
from glamm.data.parsing.layout import parse
from glamm.errors import DataError
from glamm.structures.issue import Location, Severity
from glamm.structures.sample import Frame
from tests.builders.data import SIZE, jpeg

CONTENT = {
    "images": [{"id": 1, "file_name": "1.jpg"}, {"id": "two", "file_name": "2.jpg"}],
    "annotations": [{"id": 10, "image_id": "two"}, {"id": 11, "image_id": 1}, {"id": 12, "image_id": 1}],
    "categories": [{"id": 5, "name": "cup"}],
}  # fmt: skip


def read(root, **changes):
    (root / "1.jpg").write_bytes(jpeg())
    (root / "file.json").write_text(json.dumps(CONTENT | changes))
    return read_coco(root, root / "file.json")


def test_entries_are_indexed_by_id_in_file_order(tmp_path):
    content = read(tmp_path)

    assert content.file == "file.json"
    assert list(content.images) == [1, "two"]
    ids = {key: [entry["id"] for entry in found] for key, found in content.annotations.items()}
    assert ids == {"two": [10], 1: [11, 12]}
    assert content.categories == {5: "cup"}
    assert content.issues == ()


@pytest.mark.parametrize(
    ("changes", "location", "severity", "reason"),
    [
        ({"images": [{"id": 1}, {"id": "two"}, 3]}, Location("file.json", "images[2]"), "record",
         "must be an object, is int"),
        ({"annotations": [{"image_id": 1}]}, Location("file.json", "annotations[0]", "id"), "part", "is missing"),
        ({"annotations": [{"id": 1.5}]}, Location("file.json", "annotations[0]", "id"), "part",
         "must be a whole number, is float"),
        ({"annotations": [{"id": 9, "image_id": 3}]}, Location("file.json", "annotation 9", "image_id"), "part",
         "image_id 3 is not among the images"),
        ({"annotations": [{"id": 9}, {"id": 9, "image_id": 1}]}, Location("file.json", "annotation 9", "id"), "part",
         "2 entries have this id (annotations[0], annotations[1]): none of them is read"),
        ({"images": [{"id": "two"}, {"id": 1}, {"id": 1, "height": 2}], "annotations": []},
         Location("file.json", "image 1", "id"), "record",
         "2 entries have this id (images[1], images[2]): none of them is read"),
    ],
    ids=["no object", "no id", "fraction", "no such image", "repeated annotation", "repeated image"],
)  # fmt: skip
def test_entry_that_cannot_be_indexed_is_an_issue(tmp_path, changes, location, severity, reason):
    [issue] = read(tmp_path, **changes).issues

    assert (issue.location, issue.severity, issue.reason) == (location, Severity(severity), reason)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", r"file file\.json, field the file: must be an object, is a list"),
        ('{"images": {}}', r"file file\.json, field images: must be a list, is an object"),
        ("{", r"file\.json: is not JSON"),
    ],
    ids=["list", "images", "truncated"],
)
def test_file_of_another_form_is_an_error(tmp_path, text, message):
    (tmp_path / "file.json").write_text(text)

    with pytest.raises(DataError, match=message):
        read_coco(tmp_path, tmp_path / "file.json")


def test_image_is_found_by_its_id(tmp_path):
    content = read(tmp_path)

    assert content.find_image(tmp_path, ["."], 1, frame=Frame.STORED).size == SIZE
    with pytest.raises(DataError, match=r"there is no image '2\.jpg' in \."):
        content.find_image(tmp_path, ["."], "two", frame=Frame.STORED)


def test_category_is_found_by_its_id(tmp_path):
    content = read(tmp_path)

    assert [content.category(category_id) for category_id in (5, 5.0, "5")] == ["cup"] * 3
    with pytest.raises(DataError, match=r"^field category_id: 6 is not among the categories$"):
        content.category(6)


@pytest.mark.parametrize(
    ("fields", "box"),
    [({"bbox": [1, 2, 3, 4]}, (1, 2, 4, 6)), ({"bbox": []}, None), ({}, None)],
    ids=["box", "empty", "missing"],
)
def test_box_of_an_instance_is_optional(fields, box):
    assert parse(CocoInstance, {"id": 1} | fields).bbox == box


def test_box_of_an_instance_has_four_numbers():
    with pytest.raises(DataError, match=r"^field bbox: must be four numbers"):
        parse(CocoInstance, {"id": 1, "bbox": [1, 2, 3]})
