import pytest

from tests.builders.own_data import copy_format, edit_json, read_records

REFS = "Refer_Segm/grefcoco/grefs(unc).json"
INSTANCES = "Refer_Segm/grefcoco/instances.json"


def targets_of_first_image(root):
    """Texts and object ids of the first image of train, and the issues of train."""
    records, issues = read_records("grefcoco", root, "train")
    [sample] = records[0].samples
    return [(target.text, target.object_ids) for target in sample.targets], issues


def test_expressions_mean_one_object_several_or_none(tmp_path):
    targets, issues = targets_of_first_image(copy_format("grefcoco", tmp_path))

    assert issues == []
    assert [ids for _, ids in targets] == [(10400,), (10400, 10401), ()]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ann_id": None}, "record ref 2, field ann_id: is missing"),
        ({"ann_id": [10400, "x"]}, "record ref 2, field ann_id[1]: must be a whole number, is text"),
        ({"ann_id": [10400, 99]}, "record ref 2, field ann_id: annotations [99] are not in the image"),
        ({"sentences": {}}, "record ref 2, field sentences: must be a list, is an object"),
        ({"sentences": [{"sent_id": 1}]}, "record ref 2, field sentences[0].sent: is missing"),
        ({"sentences": []}, "record ref 2, field sentences: holds no expression"),
        ({"sentences": [{"sent": "\ud800", "sent_id": 1}]}, "record ref 2, field sentences[0].sent: is not valid"),
        ({"image_id": 99}, "record ref 2, field image_id: image_id 99 is not among the images"),
        ({"ref_id": 1}, "record ref 1, field ref_id: 2 references have this id (refs[0], refs[1])"),
        ({"ref_id": "two"}, "record refs[1], field ref_id: must be a whole number, is text"),
    ],
    ids=[
        "no objects", "text id", "unknown object", "sentences", "no text", "no sentences", "surrogate", "unknown image", "repeated id",
        "text ref id",
    ],
)  # fmt: skip
def test_invalid_reference_is_left_out_alone(tmp_path, changes, message):
    root = copy_format("grefcoco", tmp_path)
    edit_json(root / REFS, lambda refs: refs[1].update(changes))

    targets, issues = targets_of_first_image(root)

    assert [ids for _, ids in targets][-1] == ()
    assert len(targets) == (1 if "ref_id" in changes and changes["ref_id"] == 1 else 2)
    assert len(issues) == 1
    assert message in issues[0]


def test_single_object_may_stand_without_a_list(tmp_path):
    root = copy_format("grefcoco", tmp_path)
    edit_json(root / REFS, lambda refs: refs[0].update(ann_id=10401))

    targets, issues = targets_of_first_image(root)

    assert issues == []
    assert targets[0][1] == (10401,)


def test_expression_of_an_object_without_pixels_is_not_trained(tmp_path):
    root = copy_format("grefcoco", tmp_path)
    edit_json(root / INSTANCES, lambda content: content["annotations"][0].update(segmentation=[]))

    targets, issues = targets_of_first_image(root)

    assert targets == [(targets[0][0], ())]
    assert "record annotation 10400, field segmentation: has no pixels" in issues[0]


def test_expression_of_an_invalid_object_is_left_out(tmp_path):
    root = copy_format("grefcoco", tmp_path)
    edit_json(root / INSTANCES, lambda content: content["annotations"][0].update(bbox=[1]))

    targets, issues = targets_of_first_image(root)

    assert [ids for _, ids in targets] == [()]
    assert "record annotation 10400, field bbox: must be four numbers" in issues[0]
    assert "record ref 1, field ann_id: annotations [10400] are not in the image" in issues[1]
    assert "record ref 2, field ann_id" in issues[2]


def test_entry_that_is_no_reference_is_reported_by_the_first_split_only(tmp_path):
    root = copy_format("grefcoco", tmp_path)
    edit_json(root / REFS, lambda refs: refs.append(3))

    _, issues = read_records("grefcoco", root)

    assert len(issues) == 1
    assert "record refs[15]: must be an object, is int" in issues[0]


def test_ids_may_be_text_or_floats(tmp_path):
    whole, _ = targets_of_first_image(copy_format("grefcoco", tmp_path / "whole"))
    root = copy_format("grefcoco", tmp_path / "changed")
    edit_json(
        root / REFS,
        lambda refs: [
            ref.update(
                ref_id=float(ref["ref_id"]),
                image_id=str(ref["image_id"]),
                ann_id=[str(number) for number in ref["ann_id"]],
            )
            for ref in refs
        ],
    )

    assert targets_of_first_image(root) == (whole, [])


def test_split_that_is_not_read_is_named_with_all_splits_of_the_file(tmp_path):
    root = copy_format("grefcoco", tmp_path)
    edit_json(root / REFS, lambda refs: refs[1].update(split="minitrain"))

    _, issues = read_records("grefcoco", root, "train")
    _, issues_of_val = read_records("grefcoco", root, "val")

    [issue] = [issue for issue in issues if "minitrain" in issue]
    assert "1 references belong to the split 'minitrain', which is not read" in issue
    assert "read are train, val, testA, testB. The file has " in issue
    assert not any("minitrain" in issue for issue in issues_of_val)


def test_sentence_without_an_id_is_an_expression(tmp_path):
    root = copy_format("grefcoco", tmp_path)
    edit_json(root / REFS, lambda refs: refs[0].update(sentences=[{"sent": "the cup"}]))

    targets, issues = targets_of_first_image(root)

    assert issues == []
    assert targets[0][0] == "the cup"


@pytest.mark.parametrize("split", ["Train", " train "])
def test_split_may_be_written_in_other_ways(tmp_path, split):
    whole, _ = targets_of_first_image(copy_format("grefcoco", tmp_path / "whole"))
    root = copy_format("grefcoco", tmp_path / "changed")
    edit_json(root / REFS, lambda refs: refs[0].update(split=split))

    assert targets_of_first_image(root) == (whole, [])


def test_repeated_reference_is_read_once(tmp_path):
    whole, _ = targets_of_first_image(copy_format("grefcoco", tmp_path / "whole"))
    root = copy_format("grefcoco", tmp_path / "changed")
    edit_json(root / REFS, lambda refs: refs.append(dict(refs[0])))

    targets, issues = targets_of_first_image(root)

    assert targets == whole
    assert ["2 references are the same" in line for line in issues] == [True]


@pytest.mark.parametrize(
    "sentences", [["the cup"], [{"raw": "the cup", "sent_id": 1}]], ids=["text", "raw"]
)
def test_sentence_may_have_other_forms(tmp_path, sentences):
    root = copy_format("grefcoco", tmp_path)
    edit_json(root / REFS, lambda refs: refs[0].update(sentences=sentences))

    targets, issues = targets_of_first_image(root)

    assert issues == []
    assert targets[0][0] == "the cup"


def test_annotation_without_a_box_has_that_of_its_mask(tmp_path):
    whole, _ = targets_of_first_image(copy_format("grefcoco", tmp_path / "whole"))
    root = copy_format("grefcoco", tmp_path / "changed")
    file = root / "Refer_Segm/grefcoco/instances.json"
    edit_json(file, lambda content: [entry.pop("bbox") for entry in content["annotations"]])

    targets, issues = targets_of_first_image(root)

    assert targets == whole
    assert issues == []
