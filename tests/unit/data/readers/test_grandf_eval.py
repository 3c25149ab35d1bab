import pytest

from glamm.errors import DataError
from tests.builders.own_data import copy_format, edit_json, read_records

NAME = "granddf_val_test"
CAPTIONS = "GranDf/annotations/val_test/val_gcg_coco_caption_gt.json"
MASKS = "GranDf/annotations/val_test/val_gcg_coco_mask_gt.json"


def read(root):
    return read_records(NAME, root, "val")


def test_labels_are_spans_in_the_order_of_the_masks(tmp_path):
    records, issues = read(copy_format(NAME, tmp_path))

    sample = records[0].samples[0]
    text = sample.turns[1].text
    assert sample.sample_id == "granddf_val_test/val/sa_3501"
    assert [text[span.start : span.end] for span in sample.turns[1].spans] == [
        "A red diamond",
        "a yellow square",
        "a green star",
    ]
    assert [span.object_ids for span in sample.turns[1].spans] == [(1,), (2,), (3,)]
    assert [record.location.record for record in records] == [
        "val:sa_3501",
        "val:sa_3502",
        "val:sa_3503",
    ]
    assert issues == []


@pytest.mark.parametrize(
    ("file", "edit", "message"),
    [
        (CAPTIONS, lambda c: c["annotations"][0].update(caption=None), "field caption: is missing"),
        (CAPTIONS, lambda c: c["annotations"][0]["labels"].pop(), "2 labels and 3 masks"),
        (CAPTIONS, lambda c: c["images"].pop(0), "is not among the images"),
        (CAPTIONS, lambda c: c["images"][0].update(height="x"), "field images.height, width"),
        (CAPTIONS, lambda c: c["images"][0].update(file_name="none.jpg"), "there is no image"),
        (MASKS, lambda c: c["annotations"][0].update(id=None), "field annotations.id: is missing"),
        (
            MASKS,
            lambda c: c["annotations"][0].update(segmentation=[[1, 2]]),
            "annotation 1.segment",
        ),
    ],
    ids=["caption", "labels", "image", "size", "file name", "mask id", "mask"],
)
def test_invalid_record_costs_only_itself(tmp_path, file, edit, message):
    root = copy_format(NAME, tmp_path)
    edit_json(root / file, edit)

    records, issues = read(root)

    assert [record.location.record for record in records] == ["val:sa_3502", "val:sa_3503"]
    assert len(issues) == 1
    assert message in issues[0]


def test_area_is_not_needed_for_training(tmp_path):
    root = copy_format(NAME, tmp_path)
    edit_json(root / MASKS, lambda content: content["annotations"][0].update(area="large"))

    records, issues = read(root)

    assert len(records) == 3
    assert issues == []


def test_label_that_is_not_in_the_caption_is_left_out_alone(tmp_path):
    root = copy_format(NAME, tmp_path)
    edit_json(root / CAPTIONS, lambda content: content["annotations"][0]["labels"].reverse())
    edit_json(
        root / CAPTIONS, lambda content: content["annotations"][0]["labels"].__setitem__(0, "a dog")
    )

    records, issues = read(root)

    assert len(records[0].samples[0].turns[1].spans) == 2
    assert "'a dog' is not in the caption" in issues[0]


def test_missing_file_of_the_pair_is_an_error(tmp_path):
    root = copy_format(NAME, tmp_path)
    (root / MASKS).unlink()

    with pytest.raises(DataError, match=r"val_gcg_coco_mask_gt\.json: is missing"):
        read(root)
