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


@pytest.mark.parametrize(
    ("sentence", "caption"),
    [
        (" the  green bar ", "the green bar is near."),
        ("the green bar", "the\u00a0green  bar is near."),
        ("the caf\u00e9", "the cafe\u0301 is near."),
        ("the cafe\u0301", "the caf\u00e9 is near."),
    ],
    ids=[
        "blanks of the sentence",
        "blanks of the caption",
        "decomposed caption",
        "decomposed sentence",
    ],
)
def test_blanks_and_unicode_forms_do_not_matter(refcocog, sentence, caption):
    def edit(entry):
        entry.update(caption=caption)
        entry["refs"][0].update(sentence=sentence)

    records, _ = refcocog(edit)

    [span] = records[0].samples[0].turns[1].spans
    text = records[0].samples[0].turns[1].text
    assert text[span.end :] == " is near."


def test_polygon_may_be_a_list_of_points(refcocog):
    whole, _ = refcocog(lambda entry: None)

    def edit(entry):
        [numbers] = entry["refs"][0]["segmentation"]
        entry["refs"][0]["segmentation"] = [
            [list(point) for point in zip(numbers[::2], numbers[1::2], strict=True)]
        ]

    records, _ = refcocog(edit)

    assert records[0].samples[0].objects == whole[0].samples[0].objects


def test_entry_without_a_caption_is_said(tmp_path):
    root = copy_format(NAME, tmp_path)
    edit_json(root / FILE, lambda content: content[0].clear())

    _, issues = read_records(NAME, root, "train")

    assert any("record 0: has no caption: the object is empty" in line for line in issues)
