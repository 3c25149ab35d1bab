import json

import pytest

from glamm.data.parsing.grandf_eval import (
    EvalImage,
    EvalMask,
    eval_entries,
    find_eval_files,
    read_eval_file,
)
from glamm.data.parsing.layout import parse
from glamm.errors import DataError


@pytest.mark.parametrize(
    "value", [None, True, 1.5, []], ids=["null", "truth value", "float", "list"]
)
def test_id_of_an_image_is_text_or_a_whole_number(value):
    assert parse(EvalImage, {"id": "sa_1"}).id == "sa_1"
    assert parse(EvalImage, {"id": 7}).id == 7
    with pytest.raises(DataError, match=r"^field id: must be text or a whole number"):
        parse(EvalImage, {"id": value})


@pytest.mark.parametrize(
    ("entry", "size"),
    [({"height": 3, "width": 4}, (3, 4)), ({"height": 3}, None), ({}, None)],
    ids=["both", "one", "none"],
)
def test_size_is_known_if_both_sides_are_stated(entry, size):
    assert parse(EvalImage, {"id": 1} | entry).size == size


def test_size_and_area_are_checked_when_they_are_used():
    image = parse(EvalImage, {"id": 1, "height": -3, "width": 4})
    annotation = parse(EvalMask, {"image_id": 1, "id": 1, "area": "large"})

    with pytest.raises(DataError, match="height and width in pixels"):
        image.size  # noqa: B018 - the property raises
    with pytest.raises(DataError, match="field area: must hold numbers"):
        annotation.stated_area  # noqa: B018 - the property raises


def test_files_come_as_a_pair(tmp_path):
    assert find_eval_files(tmp_path, "val") is None

    captions = tmp_path / "val_gcg_coco_caption_gt.json"
    captions.write_text("{}")
    with pytest.raises(DataError, match=r"val_gcg_coco_mask_gt\.json: is missing"):
        find_eval_files(tmp_path, "val")

    masks = tmp_path / "val_gcg_coco_mask_gt.json"
    masks.write_text("{}")
    assert find_eval_files(tmp_path, "val") == (captions, masks)
    assert find_eval_files(tmp_path, "test") is None


def test_entries_are_named_by_list_and_index(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"images": [{"id": 1}, 5]}))

    content = read_eval_file(path)

    assert list(eval_entries(content, "images", path)) == [
        ("images[0]", {"id": 1}),
        ("images[1]", 5),
    ]
    assert list(eval_entries(content, "annotations", path)) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [([], "must be an object with 'images' and 'annotations'"), ({"images": 3}, "must be a list")],
    ids=["file", "list"],
)
def test_other_content_is_an_error_that_names_the_file(tmp_path, content, message):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content))

    with pytest.raises(DataError, match=f"a.json.*{message}"):
        list(eval_entries(read_eval_file(path), "images", path))
