import pytest

from tests.builders.own_data import copy_format, edit_json, read_records

FILE = "visual_genome/train.json"


def test_boxes_are_clipped_to_the_image_and_kept_as_they_are_beside_it(tmp_path):
    root = copy_format("visual_genome", tmp_path)
    edit_json(root / FILE, lambda content: content["annotations"][0].update(bbox=[-9, -9, 30, 30]))

    records, _ = read_records("visual_genome", root, "train")

    [sample] = records[0].samples
    assert sample.objects[0].box == (0, 0, 21, 21)
    assert records[0].raw.regions[0].annotation.box == (-9, -9, 21, 21)


@pytest.mark.parametrize(
    ("caption", "message"),
    [("  ", ".caption: is empty"), (3, ".caption: must be text, is int")],
    ids=["blank", "number"],
)
def test_region_without_a_caption_is_left_out_alone(tmp_path, caption, message):
    root = copy_format("visual_genome", tmp_path)
    whole, _ = read_records("visual_genome", root, "train")
    edit_json(root / FILE, lambda content: content["annotations"][0].update(caption=caption))

    records, issues = read_records("visual_genome", root, "train")

    assert records[0].samples[0].targets == whole[0].samples[0].targets[1:]
    assert message in issues[0]


def test_small_image_is_left_out(tmp_path):
    records, issues = read_records("refcoco_region", copy_format("refcoco_region", tmp_path))

    assert len(records) == 6
    assert any("record image 7: picture side below 32 px" in issue for issue in issues)


def test_image_without_an_annotation_is_said(tmp_path):
    root = copy_format("refcoco_region", tmp_path)
    file = "RefCoco_Reg/mdetr_annotations/finetune_refcoco_train.json"
    edit_json(root / file, lambda content: content["annotations"].pop(0))

    _, issues = read_records("refcoco_region", root)

    assert any("record image 1, field annotations: has no annotation" in line for line in issues)
