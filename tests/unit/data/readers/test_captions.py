import pytest

from tests.builders.own_data import copy_format, edit_json, read_records

FILE = "coco_2017/annotations/captions_train2017.json"
NAME = "coco_captions_2017"


def test_every_caption_is_a_sample(tmp_path):
    records, issues = read_records(NAME, copy_format(NAME, tmp_path), "train")

    assert issues == []
    ids = [sample.sample_id for sample in records[0].samples]
    assert [name.rpartition("/")[0] for name in ids] == [f"{NAME}/train/2200"] * len(ids)
    assert len(set(ids)) == len(ids) > 1


@pytest.mark.parametrize(
    ("caption", "message"),
    [(" ", "is empty"), (None, "is missing"), (["a"], "must be text, is a list")],
    ids=["blank", "missing", "list"],
)
def test_invalid_caption_is_left_out_alone(tmp_path, caption, message):
    root = copy_format(NAME, tmp_path)
    whole, _ = read_records(NAME, root, "train")
    edit_json(root / FILE, lambda content: content["annotations"][0].update(caption=caption))

    records, issues = read_records(NAME, root, "train")

    num_samples = sum(len(record.samples) for record in records)
    assert num_samples == sum(len(record.samples) for record in whole) - 1
    assert len(issues) == 1
    assert f".caption: {message}" in issues[0]


def test_image_without_captions_is_left_out(tmp_path):
    root = copy_format(NAME, tmp_path)
    edit_json(root / FILE, lambda content: content["annotations"].clear())

    records, issues = read_records(NAME, root, "train")

    assert records == []
    assert "record image 2200: has no caption" in issues[0]
