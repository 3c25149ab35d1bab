import json

import pytest

from tests.builders.own_data import copy_format, edit_json, read_records

NAME = "sa_8501.jpg"


@pytest.fixture
def grand(tmp_path):
    """Changes the file of one image and reads its record with all issues."""
    root = copy_format("grand", tmp_path)
    path = root / "GranD/annotations/sa_8501.json"
    for other in path.parent.glob("*.json"):
        if other != path:
            other.unlink()

    def read(edit=lambda image: None):
        edit_json(path, lambda content: edit(content[NAME]))
        records, issues = read_records("grand", root, "train")
        return records[0] if records else None, issues

    return read


def put(path, value):
    """An edit of what lies at a path of keys and indices."""

    def edit(content):
        *parents, last = path
        for key in parents:
            content = content[key]
        content[last] = value

    return edit


def ids(record):
    return [obj.id for obj in record.samples[0].objects]


def test_every_object_is_read(grand):
    record, issues = grand()

    assert ids(record) == [0, 1, 2, 3]
    assert [issue for issue in issues if "objects" in issue] == []


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        (("objects", 1, "bbox"), [1, 2], "objects[1].bbox"),
        (("objects", 1, "id"), "one", "objects[1].id"),
        (("objects", 1), 7, "objects[1]"),
    ],
    ids=["box", "id", "object"],
)
def test_invalid_object_costs_only_itself(grand, path, value, field):
    record, issues = grand(put(path, value))

    assert ids(record) == [0, 2, 3]
    assert len([issue for issue in issues if f"field {field}:" in issue]) == 1


@pytest.mark.parametrize(
    ("name", "value", "field"),
    [
        ("labels", 7, "objects[1].labels"),
        ("attributes", ["blue", 3], "objects[1].attributes[1]"),
        ("score", "high", "objects[1].score"),
        ("depth", float("nan"), "objects[1].depth"),
    ],
    ids=["labels", "attribute", "score", "depth"],
)
def test_invalid_optional_field_costs_only_itself(grand, name, value, field):
    whole, _ = grand()
    record, issues = grand(put(("objects", 1, name), value))

    assert ids(record) == [0, 1, 2, 3]
    assert record.samples[0].objects[1].mask == whole.samples[0].objects[1].mask
    assert len([issue for issue in issues if f"field {field}:" in issue]) == 1


def test_empty_mask_costs_only_itself(grand):
    whole, _ = grand()
    height, width = whole.samples[0].image.size
    empty = {"size": [height, width], "counts": [height * width]}

    record, issues = grand(put(("objects", 1, "segmentation"), empty))

    assert ids(record) == [0, 1, 2, 3]
    assert len(record.samples) == len(whole.samples)
    assert any("field objects[1].segmentation: holds an empty mask" in issue for issue in issues)


def test_single_values_may_stand_without_a_list_and_a_mask_in_one(grand):
    def edit(image):
        image["objects"][1]["labels"] = "diamond"
        image["objects"][1]["segmentation"] = [image["objects"][1]["segmentation"]]
        image["dense_caption"]["details"][0]["ids"] = 0
        image["short_captions"][0]["details"][0]["id"] = [0]

    whole, issues_of_whole = grand()
    record, issues = grand(edit)

    assert issues == issues_of_whole
    assert [sample.turns for sample in record.samples] == [sample.turns for sample in whole.samples]
    assert record.samples[0].objects[1].mask == whole.samples[0].objects[1].mask


@pytest.mark.parametrize("name", ["objects", "short_captions"])
def test_missing_part_is_said(grand, name):
    _, issues = grand(put((name,), None))

    assert any(f"field {name}: is missing or empty" in issue for issue in issues)


def test_invalid_mask_costs_only_itself(grand):
    record, issues = grand(put(("objects", 1, "segmentation"), {"size": [1, 1], "counts": "0"}))

    assert ids(record) == [0, 1, 2, 3]
    assert record.samples[0].objects[1].mask is None
    assert any("field objects[1].segmentation:" in issue for issue in issues)


def test_mask_of_another_size_costs_only_itself(grand):
    mask = {"size": [2, 2], "counts": "04"}

    record, issues = grand(put(("objects", 1, "segmentation"), mask))

    assert record.samples[0].objects[1].mask is None
    assert any("mask of object 1 is (2, 2), the image is (112, 150)" in issue for issue in issues)


def test_objects_with_one_id_are_both_left_out(grand):
    record, issues = grand(put(("objects", 1, "id"), 0))

    assert ids(record) == [2, 3]
    assert any("2 objects have the id 0: none of them is read" in issue for issue in issues)


@pytest.mark.parametrize(
    ("value", "texts"),
    [
        (None, ()),
        ("", ()),
        ("Assistant: a blue diamond ", ("a blue diamond",)),
        (["istant: blue", " ", "shiny"], ("blue", "shiny")),
    ],
    ids=["none", "empty", "text", "list"],
)
def test_attributes_are_texts_without_the_role(grand, value, texts):
    record, _ = grand(put(("objects", 0, "attributes"), value))

    assert record.samples[0].objects[0].attributes == texts


def test_median_depth_is_read_where_there_is_no_depth(grand):
    def edit(image):
        image["objects"][0] |= {"depth": None, "median_depth": 3.5}
        image["objects"][1] |= {"depth": 1.5, "median_depth": 3.5}

    record, _ = grand(edit)

    assert [obj.depth for obj in record.samples[0].objects[:2]] == [3.5, 1.5]


def test_invalid_short_caption_costs_only_itself(grand):
    record, issues = grand(put(("short_captions", 0, "caption"), 5))

    names = [sample.sample_id.rpartition("/")[2] for sample in record.samples]
    assert names == ["dense", "short0", "caption0", "refer", "region"]
    assert any("field short_captions[0].caption:" in issue for issue in issues)


@pytest.mark.parametrize(
    "caption", [("short_captions", 0), ("dense_caption",)], ids=["short", "dense"]
)
def test_invalid_phrase_of_a_caption_costs_only_itself(grand, caption):
    whole, _ = grand(lambda image: None)
    record, issues = grand(put((*caption, "details", 1, "phrase"), None))

    assert len(record.samples) == len(whole.samples)
    assert any("details[1].phrase: is missing" in issue for issue in issues)


@pytest.mark.parametrize("value", [None, {"caption": 5}], ids=["missing", "invalid"])
def test_file_without_a_valid_dense_caption_is_read(grand, value):
    record, issues = grand(put(("dense_caption",), value))

    assert record.samples[0].sample_id.endswith("short0")
    assert any("field dense_caption" in issue for issue in issues)


def test_image_without_captions_and_expressions_is_left_out(grand):
    def edit(image):
        image |= {"short_captions": [], "dense_caption": None}
        for obj in (*image["objects"], *image["floating_objects"]):
            obj["attributes"] = None

    record, issues = grand(edit)

    assert record is None
    assert "there is nothing to train" in issues[-1]


def test_tables_and_files_give_the_same_objects(tmp_path):
    root = copy_format("grand", tmp_path)
    from_files, _ = read_records("grand", root, "train")
    for path in (root / "GranD/annotations").glob("*.json"):
        path.unlink()
    (root / "GranD/annotations").rmdir()

    from_tables, issues = read_records("grand", root, "train")

    assert len(from_tables) == 3
    floating = {"sa_8501.jpg": {3}, "sa_8502.jpg": {2}}
    for with_files, with_tables in zip(from_files, from_tables, strict=False):
        first = with_files.samples[0]
        left_out = floating.get(first.image.key, set())
        assert with_tables.samples[0].objects == tuple(
            obj for obj in first.objects if obj.id not in left_out
        )
    assert not any("dense_caption" in issue for issue in issues)


def test_file_that_is_no_object_is_left_out_and_the_others_are_read(tmp_path):
    root = copy_format("grand", tmp_path)
    (root / "GranD/annotations/sa_8501.json").write_text(json.dumps([1, 2]))

    records, issues = read_records("grand", root, "train")

    assert len(records) == 4
    assert any(
        issue.startswith("file GranD/annotations/sa_8501.json") and "must be an object" in issue
        for issue in issues
    )
