import pytest

from tests.builders.own_data import copy_format, edit_json, read_records

NAME = "refcocog_gcg"
FILE = "GranDf/annotations/train/RefCOCOg_GCG_train.json"


@pytest.fixture
def refcocog(tmp_path):
    """Changes the first caption of the file and reads all records and issues."""
    root = copy_format(NAME, tmp_path)

    def read(edit):
        edit_json(root / FILE, lambda content: edit(content[0]["1400"]))
        return read_records(NAME, root, "train")

    return read


def test_expressions_are_spans_with_one_object_each(refcocog):
    records, _ = refcocog(lambda entry: None)

    answer = records[0].samples[0].turns[1]
    assert [(answer.text[span.start : span.end], span.object_ids) for span in answer.spans] == [
        ("the green bar", (0,)),
        ("the red bar", (1,)),
        ("the purple triangle", (2,)),
    ]


@pytest.mark.parametrize(
    ("ref", "message"),
    [
        ({"sentence": "a dog"}, "field refs[1].sentence: 'a dog' is not in the caption"),
        ({"sentence": None}, "field refs[1].sentence: is missing"),
        ({"segmentation": []}, "field refs[1].segmentation: has no pixels"),
        ({"segmentation": [[1, 2, 3, 4]]}, "field refs[1].segmentation: "),
    ],
    ids=["absent", "missing", "no pixels", "two points"],
)
def test_invalid_expression_costs_only_itself(refcocog, ref, message):
    records, issues = refcocog(lambda entry: entry["refs"][1].update(ref))

    assert [obj.id for obj in records[0].samples[0].objects] == [0, 2]
    assert any(message in issue for issue in issues)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda entry: entry.update(caption=None), "field 1400.caption: is missing"),
        (lambda entry: entry.update(img_file_name="none.jpg"), "there is no image"),
        (lambda entry: entry.update(refs=[]), "none of the expressions can be grounded"),
    ],
    ids=["caption", "image", "no expressions"],
)
def test_invalid_record_costs_only_itself(refcocog, edit, message):
    records, issues = refcocog(edit)

    assert [record.location.record for record in records] == ["1", "2", "3", "4"]
    assert any(message in issue for issue in issues)
