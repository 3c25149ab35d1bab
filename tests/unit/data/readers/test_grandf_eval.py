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
        (CAPTIONS, lambda c: c["images"].pop(0), "is not among the images"),
        (CAPTIONS, lambda c: c["images"][0].update(height="x"), "field images.height, width"),
        (CAPTIONS, lambda c: c["images"][0].update(file_name="none.jpg"), "there is no image"),
    ],
    ids=["caption", "image", "size", "file name"],
)
def test_invalid_record_costs_only_itself(tmp_path, file, edit, message):
    root = copy_format(NAME, tmp_path)
    edit_json(root / file, edit)

    records, issues = read(root)

    assert [record.location.record for record in records] == ["val:sa_3502", "val:sa_3503"]
    assert len(issues) == 1
    assert message in issues[0]


@pytest.mark.parametrize(
    ("file", "edit", "message", "num_objects", "num_spans"),
    [
        pytest.param(
            CAPTIONS,
            lambda c: c["annotations"][0]["labels"].pop(),
            "2 labels and 3 masks",
            3,
            2,
            id="label is missing",
        ),
        pytest.param(
            CAPTIONS,
            lambda c: c["annotations"][0]["labels"].append("kite"),
            "4 labels and 3 masks",
            3,
            3,
            id="mask is missing",
        ),
        pytest.param(
            MASKS,
            lambda c: c["annotations"][0].update(id=None),
            "field annotations.id: is missing",
            2,
            2,
            id="mask without an id",
        ),
        pytest.param(
            MASKS,
            lambda c: c["annotations"][0].update(segmentation=[[1, 2]]),
            "annotation 1.segment",
            2,
            2,
            id="mask",
        ),
    ],
)
def test_invalid_part_costs_only_itself(tmp_path, file, edit, message, num_objects, num_spans):
    root = copy_format(NAME, tmp_path)
    edit_json(root / file, edit)

    records, issues = read(root)

    assert len(records) == 3
    [sample] = records[0].samples
    assert len(sample.objects) == num_objects
    assert len(sample.turns[1].spans) == num_spans
    assert len(issues) == 1
    assert message in issues[0]


def test_ids_of_the_two_files_may_have_different_types(tmp_path):
    root = copy_format(NAME, tmp_path)

    def number(content):
        for entry in (*content["images"], *content["annotations"]):
            key = "image_id" if "image_id" in entry else "id"
            entry[key] = int(entry[key].removeprefix("sa_"))

    edit_json(root / CAPTIONS, number)
    edit_json(root / MASKS, number)
    numbers, _ = read(root)
    edit_json(
        root / MASKS,
        lambda content: [a.update(image_id=str(a["image_id"])) for a in content["annotations"]],
    )

    records, issues = read(root)

    assert issues == []
    assert [record.samples for record in records] == [record.samples for record in numbers]


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


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda c: c["annotations"][0].update(image_id="none"), "field image_id: image_id none is not among"),
        (lambda c: c["annotations"][0].pop("image_id"), "field image_id: must be text or a whole number"),
    ],
    ids=["unknown image", "no image"],
)  # fmt: skip
def test_mask_of_no_image_is_said(tmp_path, edit, message):
    root = copy_format(NAME, tmp_path)
    edit_json(root / MASKS, edit)

    _, issues = read(root)

    assert any("record annotations[0]" in line and message in line for line in issues)


def test_image_without_a_caption_is_said(tmp_path):
    root = copy_format(NAME, tmp_path)
    edit_json(root / CAPTIONS, lambda content: content["annotations"].pop(0))

    records, issues = read(root)

    assert len(records) == 2
    assert issues[-1].endswith("record val:sa_3501: has no caption (left out)")


@pytest.mark.parametrize(
    ("changes", "message", "ids"),
    [
        ({"segmentation": {"size": [2, 2], "counts": [0, 4]}}, "mask is (2, 2), the image (112, 150)", [2, 3]),
        ({"id": 2}, "annotation 2.id: 2 masks of the image have this id", [3]),
    ],
    ids=["other size", "double id"],
)  # fmt: skip
def test_mask_that_does_not_fit_costs_only_itself(tmp_path, changes, message, ids):
    root = copy_format(NAME, tmp_path)
    edit_json(root / MASKS, lambda content: content["annotations"][0].update(changes))

    records, issues = read(root)

    assert [obj.id for obj in records[0].samples[0].objects] == ids
    assert any(message in line for line in issues)
