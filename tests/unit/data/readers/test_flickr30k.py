import pytest

from glamm.data.readers.flickr30k import region_turns
from glamm.structures.sample import Span, SpanKind
from tests.builders.own_data import copy_format, edit_json, read_records

NAME = "flickr30k_gcg"
FILE = "GranDf/annotations/train/flickr_mergedGT_GCG_train.json"


@pytest.fixture
def flickr(tmp_path):
    """Changes the file and reads the record of its first caption with all issues."""
    root = copy_format(NAME, tmp_path)

    def read(edit=lambda content: None):
        edit_json(root / FILE, edit)
        records, issues = read_records(NAME, root, "train")
        return next((r for r in records if r.location.record == "image 1"), None), issues

    return read


def annotation(**values):
    return lambda content: content["annotations"][0].update(values)


def ids(record):
    return [obj.id for obj in record.samples[0].objects]


def test_every_annotation_is_an_object(flickr):
    record, _ = flickr()

    assert ids(record) == [1, 2, 3]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"tokens_positive": [[90, 95]]},
            "annotation 1.tokens_positive: is no range of the caption",
        ),
        ({"tokens_positive": []}, "annotation 1.tokens_positive: is no range of the caption"),
        ({"tokens_positive": "x"}, "annotation 1.tokens_positive: must be a list, is text"),
        ({"sam_mask": None}, "annotation 1.sam_mask: must be an object"),
        ({"sam_mask": {"size": [2, 2], "counts": "4"}}, "annotation 1.sam_mask: mask is (2, 2)"),
        ({"bbox": [0, 0, 0.5, 9]}, "annotation 1: box narrower than 1 px"),
    ],
    ids=["range", "no range", "ranges", "no mask", "mask", "box"],
)
def test_invalid_annotation_costs_only_itself(flickr, values, message):
    record, issues = flickr(annotation(**values))

    assert ids(record) == [2, 3]
    assert any(f"record image 1, field {message}" in issue for issue in issues)


def test_annotations_of_one_range_are_one_span(flickr):
    def edit(content):
        content["annotations"][1]["tokens_positive"] = content["annotations"][0]["tokens_positive"]

    record, _ = flickr(edit)

    assert [span.object_ids for span in record.samples[0].turns[1].spans] == [(1, 2), (3,)]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"caption": "Two words"}, "caption has fewer than 3 words"),
        ({"caption": None}, "field caption: is missing"),
        ({"file_name": "none.jpg"}, "there is no image 'none.jpg'"),
    ],
    ids=["short caption", "no caption", "no image"],
)
def test_invalid_caption_costs_only_itself(flickr, values, message):
    record, issues = flickr(lambda content: content["images"][0].update(values))

    assert record is None
    assert any(
        issue.startswith(f"file {FILE}, record image 1") and message in issue for issue in issues
    )


def test_regions_are_asked_together_and_then_alone():
    spans = tuple(Span(start, start + 1, SpanKind.SEG, (start,)) for start in range(12))

    turns = region_turns("abcdefghijkl", spans)

    assert [turn.role for turn in turns] == ["user", "assistant"] * 11
    assert [turn.text for turn in turns[1::2]] == ["abcdefghijkl", *"abcdefghij"]
    for turn in turns[::2]:
        assert [turn.text[span.start : span.end] for span in turn.spans] == [
            f"region{span.object_ids[0] + 1}" for span in turn.spans
        ]
    assert [span.object_ids for span in turns[4].spans] == [(1,)]


@pytest.mark.parametrize(
    "values",
    [{"tokens_positive": [0, 11]}, {"ignore": "0"}, {"ignore": False}],
    ids=["single range", "text", "truth value"],
)
def test_other_forms_of_a_value_mean_the_same(flickr, values):
    whole, issues_of_whole = flickr()
    record, issues = flickr(annotation(**values))

    assert record.samples == whole.samples
    assert issues == issues_of_whole


def test_range_that_is_none_of_the_caption_is_skipped(flickr):
    whole, _ = flickr()
    record, issues = flickr(annotation(tokens_positive=[[0, 0], [0, 11]]))

    assert record.samples == whole.samples
    assert any(
        "no range of the caption: read as 'A green bar' (assumed)" in line for line in issues
    )


def test_empty_mask_costs_only_its_annotation(flickr):
    empty = {"size": [112, 150], "counts": [112 * 150]}

    record, issues = flickr(annotation(sam_mask=empty))

    assert ids(record) == [2, 3]
    assert any("annotation 1.sam_mask: holds an empty mask" in line for line in issues)


@pytest.mark.parametrize("name", ["images", "annotations"])
def test_entry_that_is_repeated_is_read_once(flickr, name):
    whole, _ = flickr()
    record, issues = flickr(lambda content: content[name].append(dict(content[name][0])))

    assert record.samples == whole.samples
    assert any("2 entries are the same" in line and "(assumed)" in line for line in issues)


def test_caption_without_annotations_is_said(flickr):
    def edit(content):
        content["annotations"] = [a for a in content["annotations"] if a["image_id"] != 1]

    _, issues = flickr(edit)

    assert any("record image 1, field annotations: has no annotation" in line for line in issues)
