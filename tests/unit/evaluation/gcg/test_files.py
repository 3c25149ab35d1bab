import json
from pathlib import Path

import pytest

from glamm.errors import DataError
from glamm.evaluation.findings import FindingKind
from glamm.evaluation.gcg.ground_truth import read_truth
from glamm.evaluation.gcg.predictions import pair_with_predictions, prediction_path
from glamm.geometry.masks import area
from tests.unit.evaluation.builders import SIZE, block, code, write_answer, write_truth

LEFT, RIGHT = block(0, 0, 4, 4), block(4, 6, 4, 4)


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    return write_truth(tmp_path / "truth", {"a": [LEFT], "b": [LEFT, RIGHT]})


def _edit(folder: Path, kind: str, change: str, *values: object) -> None:
    """Set a nested value of a ground truth file: `annotations/0/id`."""
    path = folder / f"val_gcg_coco_{kind}_gt.json"
    tree = node = json.loads(path.read_text())
    *parents, leaf = (int(key) if key.isdigit() else key for key in change.split("/"))
    for key in parents:
        node = node[key]
    if values:
        node[leaf] = values[0]
    else:
        del node[leaf]
    path.write_text(json.dumps(tree))


def test_truth_is_read_from_its_folder_or_from_a_data_root(truth: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    below = root / "GranDf/annotations/val_test"
    below.parent.mkdir(parents=True)
    truth.rename(below)

    direct, findings = read_truth(below, "val")
    found, _ = read_truth(root, "val")

    assert found == direct
    assert findings == []
    assert [image.id for image in found.images] == ["a", "b"]
    assert [len(image.masks) for image in found.images] == [1, 2]


@pytest.mark.parametrize(
    ("kind", "change", "value", "expected"),
    [
        (
            "caption",
            "annotations/0/caption",
            "\ud800",
            "annotations.0., field caption: holds what is no Unicode",
        ),
        ("caption", "annotations/1/labels", "x", "annotations.1., field labels: must be a list"),
        ("caption", "images/1/id", "a", "record a: is listed twice"),
        ("caption", "images/1/id", 7, "mixes text and numbers"),
        ("caption", "images/1/id", None, "must be text or a whole number"),
        ("caption", "images", [], "lists no image"),
        ("mask", "annotations/0/segmentation", [[1, 2, 3, 4]], "must be an object"),
        ("mask", "annotations/0/area", "big", "field area"),
        ("mask", "annotations/0/id", "one", "field id: must be a whole number"),
    ],
)
def test_a_damaged_record_of_the_truth_is_named(
    truth: Path, kind: str, change: str, value: object, expected: str
) -> None:
    _edit(truth, kind, change, value)

    with pytest.raises(DataError, match=f"val_gcg_coco_{kind}_gt.json.*{expected}"):
        read_truth(truth, "val")


def test_a_missing_half_of_the_truth_is_named(truth: Path) -> None:
    (truth / "val_gcg_coco_mask_gt.json").unlink()

    with pytest.raises(DataError, match=r"val_gcg_coco_mask_gt\.json: is missing"):
        read_truth(truth, "val")
    with pytest.raises(DataError, match=r"holds no test_gcg_coco_caption_gt\.json"):
        read_truth(truth, "test")


def test_the_area_field_is_kept_and_a_missing_one_is_measured(truth: Path) -> None:
    _edit(truth, "mask", "annotations/0/area", 5)
    _edit(truth, "mask", "annotations/1/area")

    found, findings = read_truth(truth, "val")

    assert found.images[0].masks[0].area == 5.0
    assert found.images[1].masks[0].area == area(LEFT)
    assert [(one.kind, one.record) for one in findings] == [(FindingKind.MISSING_AREA, "b")]


def test_a_repeated_annotation_id_replaces_the_earlier_one_and_is_named(truth: Path) -> None:
    _edit(truth, "mask", "annotations/2/id", 2)

    found, findings = read_truth(truth, "val")

    assert [mask.mask for mask in found.images[1].masks] == [RIGHT]
    assert [one.kind for one in findings] == [
        FindingKind.DUPLICATE_ID,
        FindingKind.COUNT_MISMATCH,
    ]


def test_an_image_without_a_caption_is_a_fault(truth: Path) -> None:
    _edit(truth, "caption", "annotations", [])

    found, findings = read_truth(truth, "val")

    assert found.images[0].captions == found.images[0].labels == ()
    assert [(one.kind, one.record) for one in findings] == [
        (FindingKind.MISSING_CAPTION, "a"),
        (FindingKind.MISSING_CAPTION, "b"),
    ]
    assert all(one.is_fault for one in findings)


@pytest.mark.parametrize("sign", ["\r", "\x0b", "\x0c", "\x85", "\u2028", "\u2029"])
def test_a_line_separator_becomes_a_space_and_is_named(
    truth: Path, tmp_path: Path, sign: str
) -> None:
    _edit(truth, "caption", "annotations/0/caption", f"A red{sign}ball.")
    write_answer(tmp_path / "answers", "a", [LEFT], caption=f"red{sign}ball")
    write_answer(tmp_path / "answers", "b", [LEFT])

    found, findings = read_truth(truth, "val")
    pairs, noticed = pair_with_predictions(found.images, tmp_path / "answers")

    assert found.images[0].captions == ("A red ball.",)
    assert pairs[0].prediction.caption == "red ball"
    assert [one.kind for one in (*findings, *noticed)] == [FindingKind.LINE_SEPARATOR] * 2


def _pair(truth: Path, tmp_path: Path, **fields: object) -> tuple[object, list[FindingKind]]:
    write_answer(tmp_path / "answers", "a", [LEFT], **fields)
    write_answer(tmp_path / "answers", "b", [LEFT])
    found, _ = read_truth(truth, "val")
    pairs, findings = pair_with_predictions(found.images, tmp_path / "answers")
    return pairs[0].prediction, [one.kind for one in findings]


def test_the_one_level_wrapper_is_taken_off(truth: Path, tmp_path: Path) -> None:
    plain, _ = _pair(truth, tmp_path)
    path = tmp_path / "answers" / "a.json"
    path.write_text(json.dumps({"a.jpg": json.loads(path.read_text())}))

    found, _ = read_truth(truth, "val")
    pairs, findings = pair_with_predictions(found.images, tmp_path / "answers")

    assert pairs[0].prediction == plain
    assert findings == []


def test_a_missing_prediction_is_an_empty_answer_and_a_fault(truth: Path, tmp_path: Path) -> None:
    write_answer(tmp_path / "answers", "b", [LEFT])

    found, _ = read_truth(truth, "val")
    pairs, findings = pair_with_predictions(found.images, tmp_path / "answers")

    assert pairs[0].prediction.caption == ""
    assert [(one.kind, one.record, one.is_fault) for one in findings] == [
        (FindingKind.MISSING_PREDICTION, "a", True)
    ]


def test_runs_that_stop_short_are_filled_up_and_named(truth: Path, tmp_path: Path) -> None:
    short = {"size": list(SIZE), "counts": [0, 4]}

    prediction, kinds = _pair(truth, tmp_path, pred_masks=[short])

    assert prediction.masks == (block(0, 0, 4, 1),)
    assert kinds == [FindingKind.DAMAGED_MASK]


def test_a_mask_of_another_size_is_a_fault(truth: Path, tmp_path: Path) -> None:
    other = code(block(0, 0, 2, 2, size=(4, 4)))

    _, kinds = _pair(truth, tmp_path, pred_masks=[other])

    assert kinds == [FindingKind.SIZE_MISMATCH]


def test_words_and_masks_that_differ_in_number_are_named(truth: Path, tmp_path: Path) -> None:
    _, kinds = _pair(truth, tmp_path, phrases=["red ball", "blue cube"])

    assert kinds == [FindingKind.COUNT_MISMATCH]


def test_scores_of_some_images_only_are_named(truth: Path, tmp_path: Path) -> None:
    prediction, kinds = _pair(truth, tmp_path, scores=[0.5])

    assert prediction.scores == (0.5,)
    assert kinds == [FindingKind.SCORES]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"caption": 3}, "field caption: must be text"),
        ({"phrases": "x"}, "field phrases: must be a list"),
        ({"pred_masks": [{"size": [8, 10]}]}, "field segmentation: needs counts"),
        ({"pred_masks": [{"size": [8, 10], "counts": [99]}]}, "99 pixels for a size of 80"),
        ({"pred_masks": [{"size": [8, 10], "counts": "~~"}]}, "field segmentation"),
        ({"scores": [0.1, 0.2]}, "2 scores for 1 masks"),
        ({"scores": [float("nan")]}, "field scores"),
    ],
)
def test_a_damaged_prediction_is_named(
    truth: Path, tmp_path: Path, fields: dict[str, object], expected: str
) -> None:
    with pytest.raises(DataError, match=f"a.json, {expected}|a.json.*{expected}"):
        _pair(truth, tmp_path, **fields)


def test_a_prediction_that_is_no_json_is_named_with_the_place(truth: Path, tmp_path: Path) -> None:
    write_answer(tmp_path / "answers", "b", [LEFT])
    (tmp_path / "answers" / "a.json").write_text('{"caption": ')

    found, _ = read_truth(truth, "val")

    with pytest.raises(DataError, match=r"a\.json: is not JSON: .* line 1"):
        pair_with_predictions(found.images, tmp_path / "answers")


@pytest.mark.parametrize("name", ["../a", "a/b", "/a"])
def test_an_id_never_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="is no file name"):
        prediction_path(tmp_path, name)
