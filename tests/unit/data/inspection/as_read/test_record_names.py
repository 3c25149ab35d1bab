import pytest

from glamm.data.inspection.as_read.record_names import RecordNames
from glamm.structures.issue import Issue, Location


@pytest.mark.parametrize(
    ("dataset", "location", "name"),
    [
        ("granddf_ha_gcg", Location("a/b.json", "3"), "a/b.json#3"),
        ("granddf_val_test", Location("a/b.json", "val:7"), "val:7"),
        ("llava_instruct_150k", Location("a/b.json", "3"), "b.json#3"),
        ("ade20k", Location("a/b.png", "b"), "a/b.png"),
        ("labelme", Location("a/b.json", "b"), "a/b.json"),
        ("refcoco+", Location("a/b.json", "image 3"), "Refer_Segm/refcoco+#image 3"),
        ("refcoco+", Location("a/b.json", "annotation 3"), "a/b.json#annotation 3"),
        ("paco_lvis", Location("a/b.json", "image 3"), "paco_lvis#image 3"),
        ("coco_captions_2017", Location("a/b.json", "image 3"), "b.json#image 3"),
        ("coco", Location("a/b.json", "image 3"), "a/b.json#image 3"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_record_is_named_as_its_layout_does(dataset, location, name):
    assert RecordNames(dataset, [location]).of_record(location) == name


def test_grand_file_with_one_image_is_the_name_of_its_record():
    alone, first, second = Location("1.json", "a"), Location("2.json", "a"), Location("2.json", "b")
    row = Location("data.mdb", "a")

    names = RecordNames("grand", [alone, first, second, row])

    assert [names.of_record(location) for location in (alone, first, second, row)] == [
        "1.json",
        "2.json#a",
        "2.json#b",
        "data.mdb#a",
    ]


def test_unreadable_file_is_named_without_a_record():
    issue = Issue.of_file("a/b.json", "train", "is not JSON")

    assert RecordNames("granddf_ha_gcg", [issue.location]).of_issue(issue) == "a/b.json"


def test_part_of_a_list_is_named_with_file_and_record():
    shape = Issue.of_part("a/b.json", "b", "is missing", "shapes[0].label")
    caption = Issue.of_part("a/b.json", "image 3", "is missing", "annotation 5.caption")

    assert RecordNames("labelme", [shape.location]).of_issue(shape) == "a/b.json#b"
    names = RecordNames("coco_captions_2017", [caption.location])
    assert names.of_issue(caption) == "a/b.json#image 3"
