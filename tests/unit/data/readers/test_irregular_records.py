"""Official files with harmless irregularities: the record is read, and what was assumed or lost is said."""

import json
import shutil
import unicodedata

import pytest

from glamm.data.preparation.check import CheckedRecord
from glamm.data.preparation.read_checked import read_checked
from glamm.data.readers.grand_lmdb import parse_entries
from glamm.data.readers.registry import READERS_BY_NAME
from glamm.errors import DataError
from glamm.structures.issue import Issue
from tests.builders.own_data import copy_format, edit_json, read_records

HUMAN = "GranDf/annotations/train/GranDf_HA_GCG_train.json"
FLICKR = "GranDf/annotations/train/flickr_mergedGT_GCG_train.json"
REGIONS = "refcoco_region"


def as_text(value):
    """The same JSON value with every number as text."""
    if isinstance(value, dict):
        return {name: as_text(item) for name, item in value.items()}
    if isinstance(value, list):
        return [as_text(item) for item in value]
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


COCO_FILES = {
    "coco_captions_2017": ["coco_2017/annotations/captions_train2017.json"],
    "refcoco_region": ["mdetr_annotations/finetune_refcoco_train.json"],
    "flickr30k_gcg": [FLICKR],
    "paco_lvis": None,
    "pascal_part": None,
    "grefcoco": ["Refer_Segm/grefcoco/instances.json"],
}


def coco_files(name, root):
    stated = COCO_FILES[name]
    if stated and all((root / file).is_file() for file in stated):
        return [root / file for file in stated]
    return [
        path
        for path in root.rglob("*.json")
        if isinstance(content := json.loads(path.read_text()), dict) and "images" in content
    ]


@pytest.mark.parametrize("name", COCO_FILES)
def test_numbers_as_text_give_the_same_samples(tmp_path, name):
    whole, issues = read_records(name, copy_format(name, tmp_path / "whole"), "train")
    root = copy_format(name, tmp_path / "text")
    files = coco_files(name, root)
    assert files
    for path in files:
        path.write_text(json.dumps(as_text(json.loads(path.read_text()))))

    records, issues_of_text = read_records(name, root, "train")

    assert whole
    assert len(issues_of_text) == len(issues)
    for record, expected in zip(records, whole, strict=True):
        for sample, same in zip(record.samples, expected.samples, strict=True):
            assert sample.sample_id == same.sample_id
            assert sample.objects == same.objects
            assert sample.targets == same.targets
            assert sample.turns == same.turns


def test_one_empty_or_damaged_mask_among_several_costs_only_itself(tmp_path):
    root = copy_format("granddf_ha_gcg", tmp_path)

    def edit(entries):
        groundings = next(iter(entries[0]["groundings"].values()))
        [code] = groundings["rle_masks"]
        height, width = code["size"]
        empty = {"size": code["size"], "counts": [height * width]}
        short = {"size": code["size"], "counts": [3]}
        groundings["rle_masks"] = [empty, code, short]

    whole, _ = read_records("granddf_ha_gcg", root, "train")
    edit_json(root / HUMAN, edit)

    records, issues = read_records("granddf_ha_gcg", root, "train")

    assert len(records) == len(whole)
    assert records[0].samples[0].turns == whole[0].samples[0].turns
    assert [obj.mask for obj in records[0].samples[0].objects] == [
        obj.mask for obj in whole[0].samples[0].objects
    ]
    assert sum("rle_masks[0]: holds an empty mask" in issue for issue in issues) == 1
    assert sum("rle_masks[2]: mask runs add up to 3" in issue for issue in issues) == 1


def test_invalid_grounding_costs_only_itself(tmp_path):
    root = copy_format("granddf_ha_gcg", tmp_path)
    edit_json(root / HUMAN, lambda entries: entries[0]["groundings"].update(thing=7))

    records, issues = read_records("granddf_ha_gcg", root, "train")

    assert records[0].location.record == "0"
    assert any("field groundings.thing: must be an object, is int" in issue for issue in issues)


def test_range_that_ends_behind_the_caption_is_read_to_its_end(tmp_path):
    root = copy_format("flickr30k_gcg", tmp_path)
    whole, _ = read_records("flickr30k_gcg", root, "train")
    record = whole[0]
    caption = record.samples[0].turns[1].text
    last = max(record.samples[0].turns[1].spans, key=lambda span: span.end)

    def edit(content):
        for annotation in content["annotations"]:
            for range_ in annotation.get("tokens_positive", ()):
                if range_ == [last.start, last.end]:
                    range_[1] = len(caption) + 3

    edit_json(root / FLICKR, edit)

    records, issues = read_records("flickr30k_gcg", root, "train")

    spans = records[0].samples[0].turns[1].spans
    assert spans[-1].start == last.start
    assert spans[-1].end == len(caption)
    assert any("ends behind the caption: read as" in issue for issue in issues)


def test_image_is_found_under_its_name_in_another_unicode_form(tmp_path):
    root = copy_format("granddf_ha_gcg", tmp_path)
    folder = root / "GranDf_HA_images/train"
    name = json.loads((root / HUMAN).read_text())[0]["file_name"]
    (folder / name).rename(folder / unicodedata.normalize("NFD", "café Zürich.jpg"))
    edit_json(
        root / HUMAN,
        lambda entries: entries[0].update(
            file_name=unicodedata.normalize("NFC", ".\\café Zürich.jpg")
        ),
    )

    records, issues = read_records("granddf_ha_gcg", root, "train")

    assert records[0].location.record == "0"
    assert not any("there is no image" in issue for issue in issues)


def test_reserved_words_in_a_text_do_not_cost_the_sample(tmp_path):
    root = copy_format("granddf_ha_gcg", tmp_path)
    edit_json(
        root / HUMAN,
        lambda entries: entries[0].update(
            caption=entries[0]["caption"] + " It says [SEG] <image>."
        ),
    )

    found = list(read_checked(READERS_BY_NAME["granddf_ha_gcg"], root, "train"))

    first = next(item for item in found if isinstance(item, CheckedRecord))
    assert first.record.samples[0].turns[1].text.endswith("It says [SEG] <image>.")
    assert not [item for item in found if isinstance(item, Issue) and "reserved" in item.reason]


def test_image_without_a_label_map_is_named(tmp_path):
    root = copy_format("ade20k", tmp_path)
    label_map = min((root / "Semantic_Segm/ade20k/annotations/training").glob("*.png"))
    label_map.unlink()

    _, issues = read_records("ade20k", root, "train")

    assert [issue for issue in issues if label_map.stem in issue] == [
        issue for issue in issues if "has no label map in" in issue
    ]
    assert any("has no label map in" in issue for issue in issues)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (b'{"b.jpg": []}', "the row is about 'b.jpg' and not about its key 'a.jpg'"),
        (b"{}", "the row is about nothing and not about its key 'a.jpg'"),
        (b"[]", "must be an object, is a list"),
    ],
    ids=["other image", "no key", "list"],
)
def test_row_that_is_not_about_its_key_is_an_error(tmp_path, value, message):
    with pytest.raises(DataError, match=message):
        parse_entries(value, "a.jpg", tmp_path)


@pytest.mark.parametrize(
    ("key", "stated", "phrase"),
    [
        ("a purple star", [31, 44], "a purple star"),
        ("a purple star", [0, 15], "a purple star"),
        ("purple star", [29, 42], "a purple star"),
        ("a purple star (thing)", [29, 42], "a purple star"),
        ("a purple star ", None, "a purple star"),
        ("something", [47, 99], "a orange star."),
    ],
    ids=["shifted", "of another phrase", "more words", "fewer words", "blank", "behind the end"],
)
def test_phrase_is_where_its_words_are(tmp_path, key, stated, phrase):
    root = copy_format("granddf_ha_gcg", tmp_path)

    def edit(entries):
        [grounding, *_] = entries[0]["groundings"].values()
        entries[0]["groundings"] = {key: {**grounding, "token_positives": stated}}

    edit_json(root / HUMAN, edit)

    records, _ = read_records("granddf_ha_gcg", root, "train")

    answer = records[0].samples[0].turns[1]
    assert answer.text == "A blue triangle floats above a purple star and a orange star."
    assert [answer.text[span.start : span.end] for span in answer.spans] == [phrase]


def test_single_mask_may_stand_without_a_list(tmp_path):
    whole, _ = read_records("granddf_ha_gcg", copy_format("granddf_ha_gcg", tmp_path / "a"))
    root = copy_format("granddf_ha_gcg", tmp_path / "b")

    def edit(entries):
        for grounding in entries[0]["groundings"].values():
            [grounding["rle_masks"]] = grounding["rle_masks"]

    edit_json(root / HUMAN, edit)

    records, _ = read_records("granddf_ha_gcg", root)

    assert records[0].samples[0].objects == whole[0].samples[0].objects
    assert records[0].samples[0].turns == whole[0].samples[0].turns


def test_row_that_a_table_lacks_is_said(tmp_path):
    root = copy_format("grand", tmp_path)
    shutil.rmtree(root / "GranD")
    folder = "Grand_Caption_Grounding_lmdb"
    with (root / f"GranD_Data/{folder}/{folder}_Train.txt").open("a") as keys:
        keys.write("\nsa_8505.jpg\n")

    _, issues = read_records("grand", root)

    wanted = f"GranD_Data/{folder}/data.mdb, record sa_8505.jpg: is in the list of keys and not in the table"
    assert [wanted in issue for issue in issues].count(True) == 1


def test_file_without_an_image_is_said(tmp_path):
    root = copy_format("grand", tmp_path)
    (root / "GranD/annotations/sa_8501.json").write_text("{}")

    _, issues = read_records("grand", root)

    assert any("record sa_8501: names no image: the object is empty" in line for line in issues)
