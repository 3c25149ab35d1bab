"""Small data sets in the layouts of the release, with the content that they were made with."""

import json
import shutil

import pytest

from glamm.data.inspection.as_read.describe import describe
from glamm.data.inspection.as_read.tables import tables_json
from glamm.data.preparation.check import CheckedRecord
from glamm.data.preparation.read_checked import read_checked
from glamm.data.readers.registry import READERS_BY_NAME, find_readers
from glamm.errors import DataError
from glamm.geometry.image_files import decode
from glamm.structures.issue import Issue
from tests.builders.data import BAD_FORMATS, FORMATS

OFFICIAL = sorted(path.name for path in FORMATS.iterdir())


def test_every_layout_of_the_release_has_a_small_data_set():
    assert set(OFFICIAL) <= set(READERS_BY_NAME)
    assert len(OFFICIAL) == 23


def read(name, root):
    return describe(READERS_BY_NAME[name], root, read_checked(READERS_BY_NAME[name], root))


def differences(expected, found, path=""):
    """All values of `expected` that are missing or different in `found`; probed points may differ."""
    if isinstance(expected, dict):
        missing = [f"{path}.{key} is missing" for key in expected if key not in found]
        return missing + [
            line
            for key in expected.keys() & found.keys() - {"probes_x_y_r_g_b"}
            for line in differences(expected[key], found[key], f"{path}.{key}")
        ]
    if isinstance(expected, list):
        if len(expected) != len(found):
            return [f"{path} has {len(found)} items, not {len(expected)}"]
        pairs = enumerate(zip(expected, found, strict=True))
        return [line for i, pair in pairs for line in differences(*pair, f"{path}[{i}]")]
    same = abs(expected - found) < 1e-4 if isinstance(expected, float) else expected == found
    return [] if same else [f"{path} is {found}, not {expected}"]


@pytest.mark.parametrize("name", OFFICIAL)
def test_reader_finds_the_known_content(name):
    root = FORMATS / name / "root"
    expected = json.loads((FORMATS / name / "expected.json").read_text())

    found = read(name, root)

    assert differences(expected["samples"], found["samples"]) == []
    assert differences(expected["dropped"], found["dropped"]) == []


@pytest.mark.parametrize("name", OFFICIAL)
def test_images_are_delivered_in_the_frame_of_the_annotations(name):
    root = FORMATS / name / "root"
    expected = json.loads((FORMATS / name / "expected.json").read_text())
    found = [
        item
        for item in read_checked(READERS_BY_NAME[name], root)
        if isinstance(item, CheckedRecord)
    ]

    for sample, item in zip(expected["samples"], found, strict=True):
        image = item.record.samples[0].image
        pixels = decode(item.image_bytes, size=image.size, frame=image.frame)
        for x, y, *color in sample["image"]["probes_x_y_r_g_b"]:
            assert abs(pixels[y, x].astype(int) - color).max() <= 6, image.key


@pytest.mark.parametrize(
    ("name", "documented", "in_the_code"),
    [
        ("granddf_ha_gcg", "GranDf_HA_images/train", "GranDf/GranDf_HA_images/train"),
        ("granddf_val_test", "GranDf_HA_images/val_test", "GranDf/GranDf_HA_images/val_test"),
        ("grand", "GranD/annotations", "GranD_Data/annotations"),
        ("coco_stuff", "coco_stuff/train2017", "Semantic_Segm/cocostuff/train2017"),
        ("mapillary", "mapillary", "Semantic_Segm/mapillary"),
        ("paco_lvis", "paco_lvis", "Semantic_Segm/paco_lvis"),
        ("paco_lvis", "coco_2017", "Semantic_Segm/coco_2017"),
        ("pascal_part", "pascal_part", "Semantic_Segm/pascal_part"),
        ("refcoco", "coco_2014/train2014", "Refer_Segm/coco_2014/train2014"),
        ("grefcoco", "coco_2014/train2014", "Refer_Segm/coco_2014/train2014"),
        ("refcoco_region", "coco_2014/train2014", "RefCoco_Reg/coco_2014"),
        ("flickr30k_region", "RefCoco_Reg/mdetr_annotations", "flikcr_30k/mdetr_annotations"),
        ("flickr30k_region", "flikcr_30k/train", "flikcr_30k/flickr30k-images"),
    ],
    ids=str,
)
def test_files_may_be_where_the_documentation_or_the_code_of_the_release_says(
    tmp_path, name, documented, in_the_code
):
    shutil.copytree(FORMATS / name / "root", tmp_path, dirs_exist_ok=True)
    (tmp_path / in_the_code).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / documented).rename(tmp_path / in_the_code)

    original, moved = read(name, FORMATS / name / "root"), read(name, tmp_path)

    for before, after in zip(original["samples"], moved["samples"], strict=True):
        for key in {"objects", "targets", "regions", "spans"} & before.keys():
            assert before[key] == after[key]


def test_files_in_a_folder_named_after_a_split_belong_to_it(tmp_path):
    shutil.copytree(FORMATS / "grand/root", tmp_path, dirs_exist_ok=True)
    (tmp_path / "GranD/annotations/val").mkdir()
    (tmp_path / "GranD/annotations/sa_8503.json").rename(
        tmp_path / "GranD/annotations/val/sa_8503.json"
    )

    splits = {
        item.record.samples[0].image.key: item.record.samples[0].split
        for item in read_checked(READERS_BY_NAME["grand"], tmp_path)
        if isinstance(item, CheckedRecord)
    }

    assert splits.pop("sa_8503.jpg") == "val"
    assert set(splits.values()) == {"train"}
    assert len(splits) == 4


def test_grand_image_has_samples_of_every_kind():
    found = [
        item
        for item in read_checked(READERS_BY_NAME["grand"], FORMATS / "grand/root")
        if isinstance(item, CheckedRecord)
    ]

    samples = {sample.sample_id: sample for sample in found[0].record.samples}

    assert [name.rpartition("/")[2] for name in samples] == [
        "dense", "short0", "short1", "caption0", "caption1", "refer", "region",
    ]  # fmt: skip
    assert [target.text for target in samples["grand/train/sa_8501/refer"].targets] == [
        "a blue diamond on a soft background",
        "shiny diamond",
        "a green triangle seen from the side",
    ]


def test_grand_is_read_from_its_tables_where_there_are_no_files(tmp_path):
    shutil.copytree(FORMATS / "grand/root", tmp_path, dirs_exist_ok=True)
    expected = json.loads((FORMATS / "grand/expected.json").read_text())

    shutil.rmtree(tmp_path / "GranD")
    found = read("grand", tmp_path)["samples"]

    assert [(s["image"]["file"][-11:], s["split"]) for s in found] == [
        ("sa_8501.jpg", "train"),
        ("sa_8502.jpg", "train"),
        ("sa_8503.jpg", "train"),
        ("sa_8504.jpg", "val"),
        ("sa_8505.jpg", "val"),
    ]
    for from_file, from_tables in zip(expected["samples"][:4], found, strict=False):
        objects = [obj for obj in from_file["objects"] if not obj["floating"]]
        assert from_tables["objects"] == objects
        assert from_tables["short"] == from_file["short"]


def test_grand_without_its_table_of_objects_takes_them_from_captions_and_expressions(tmp_path):
    shutil.copytree(FORMATS / "grand/root", tmp_path, dirs_exist_ok=True)
    expected = json.loads((FORMATS / "grand/expected.json").read_text())

    shutil.rmtree(tmp_path / "GranD")
    shutil.rmtree(tmp_path / "GranD_Data/Grand_Object_Level_lmdb")
    found = read("grand", tmp_path)["samples"]

    assert [s["short"] for s in found] == [s["short"] for s in expected["samples"][:4]]
    assert found[0]["objects"][0]["attributes"] == [
        "a blue diamond on a soft background",
        "shiny diamond",
    ]


def test_json_has_the_tables_of_grand_as_they_are():
    expected = json.loads((FORMATS / "grand/expected.json").read_text())

    result, issues = tables_json(READERS_BY_NAME["grand"], FORMATS / "grand/root")

    assert issues == []
    assert result["tables"] == expected["tables"]
    lost = expected["images_lost_by_the_preparation_steps"]
    assert result["images_lost_by_the_preparation_steps"] == lost


def test_damaged_table_is_an_issue_and_the_others_are_read(tmp_path):
    shutil.copytree(FORMATS / "grand/root", tmp_path, dirs_exist_ok=True)
    path = tmp_path / "GranD_Data/Grand_Caption_Grounding_lmdb/data.mdb"
    path.write_bytes(path.read_bytes()[:5000])

    result, issues = tables_json(READERS_BY_NAME["grand"], tmp_path)

    assert [issue.location.file for issue in issues] == [
        "GranD_Data/Grand_Caption_Grounding_lmdb/data.mdb"
    ]
    assert len(result["tables"]["expressions"]) == 4


def test_data_sets_below_a_folder_are_found(tmp_path):
    for name in ("grand", "granddf_val_test"):
        shutil.copytree(FORMATS / name / "root", tmp_path, dirs_exist_ok=True)

    assert [reader.name for reader in find_readers(tmp_path)] == ["grand", "granddf_val_test"]


def bad_case(name):
    case = json.loads((BAD_FORMATS / name / "case.json").read_text())
    return case, BAD_FORMATS / name / "root"


WITH_SURVIVORS = [
    path.name
    for path in sorted(BAD_FORMATS.iterdir())
    if json.loads((path / "case.json").read_text())["survivors"]
]


def is_same(survivor, sample):
    """Whether a record has the content that must survive."""
    text_of_sample = json.dumps(sample, ensure_ascii=False)
    checks = {
        "text": lambda text: text in text_of_sample,
        "spans": lambda number: len(sample["spans"]) == number,
        "objects": lambda number: len(sample["objects"]) == number,
        "mask_area": lambda area: [o["mask_area"] for o in sample["objects"]] == [area],
        "bbox_xyxy": lambda box: [r["bbox_xyxy"] for r in sample["regions"]] == [box],
        "areas": lambda areas: {t["text"]: t["area"] for t in sample["targets"]} == areas,
    }
    return all(checks[key](value) for key, value in survivor.items() if key in checks)


@pytest.mark.parametrize("name", WITH_SURVIVORS)
def test_invalid_record_is_an_issue_and_the_others_are_read(name):
    case, root = bad_case(name)

    items = list(read_checked(READERS_BY_NAME[case["layout"]], root))

    samples = describe(READERS_BY_NAME[case["layout"]], root, items)["samples"]
    by_image = {sample["image"]["file"].rpartition("/")[2]: sample for sample in samples}
    for survivor in case["survivors"]:
        assert is_same(survivor, by_image[survivor["image"]])
    issues = [str(item) for item in items if isinstance(item, Issue)]
    issues += [
        line for item in items if isinstance(item, CheckedRecord) for line in map(str, item.issues)
    ]
    if name != "huge_caption":  # its data are valid; collate leaves it out
        for fault in case["broken"]:
            assert any(fault["file"] in line and "record" in line for line in issues), fault


def test_pickle_that_would_call_a_function_is_refused(tmp_path, monkeypatch):
    case, root = bad_case("malicious_pickle")
    monkeypatch.chdir(tmp_path)

    with pytest.raises(DataError, match=r"refs\(unc\).p: refers to io.open"):
        read(case["layout"], root)

    assert not (tmp_path / case["marker_file"]).exists()


def test_valid_parts_of_a_grand_file_are_kept():
    case, root = bad_case("grand_missing_fields")

    found = read("grand", root)

    broken = next(s for s in found["samples"] if s["record"] == case["broken"][0]["file"])
    assert [obj["id"] for obj in broken["objects"]] == [0]
    assert len(broken["short"]) == 2
    named = [(entry["record"], entry["field"]) for entry in found["findings"]]
    assert (case["broken"][0]["file"], "objects[1].bbox") in named
    assert (case["broken"][0]["file"], "dense_caption") in named


def test_truncated_file_is_an_error_with_its_position():
    case, root = bad_case("truncated_json")

    with pytest.raises(
        DataError,
        match=r"GranDf_HA_GCG_train.json: is not the expected JSON: .* at line 1 \(character",
    ):
        read(case["layout"], root)
