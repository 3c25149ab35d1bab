"""Prediction files, whole and damaged."""

import json
from pathlib import Path

import pytest

from glamm.errors import DataError
from glamm.evaluation.gcg.predictions import (
    pair_with_predictions,
    prediction_path,
    read_origin,
    report_unused,
    write_prediction,
)
from glamm.structures.gcg import EMPTY_PREDICTION, GroundTruthImage, Prediction
from glamm.structures.issue import Issue, IssueKind, IssueLog
from tests.builders.gcg import SIZE, block, code, ground_truth_image, write_prediction_file

LEFT = block(0, 0, 4, 4)
IMAGES = (ground_truth_image("a", [LEFT]), ground_truth_image("b", [LEFT]))


def _pair(
    folder: Path, images: tuple[GroundTruthImage, ...] = IMAGES
) -> tuple[list[Prediction], list[Issue]]:
    issues = IssueLog()
    pairs = pair_with_predictions(images, folder, issues)
    return [pair.prediction for pair in pairs], list(issues)


def _pair_with_fields(folder: Path, **fields: object) -> tuple[Prediction, list[IssueKind]]:
    """Read two predictions, the first one with changed fields."""
    write_prediction_file(folder, "a", [LEFT], **fields)
    write_prediction_file(folder, "b", [LEFT])
    predictions, issues = _pair(folder)
    assert {issue.location.record for issue in issues} <= {"a", None}
    return predictions[0], [issue.kind for issue in issues]


def test_written_prediction_is_read_as_it_was(tmp_path: Path) -> None:
    written = Prediction("A red ball.", ("A red ball",), (LEFT,), (0.75,))

    write_prediction(tmp_path, "a", written, origin="x1")

    assert _pair(tmp_path, IMAGES[:1]) == ([written], [])
    assert read_origin(tmp_path / "a.json") == "x1"
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize("content", [None, "{", "[]", "{}"], ids=["missing", "cut", "list", "none"])
def test_prediction_without_an_origin_has_none(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "a.json").write_text(content)

    assert read_origin(tmp_path / "a.json") is None


def test_record_inside_a_single_key_is_found(tmp_path: Path) -> None:
    plain, _ = _pair_with_fields(tmp_path)
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"a.jpg": json.loads(path.read_text())}))

    predictions, issues = _pair(tmp_path)

    assert predictions[0] == plain
    assert issues == []


def test_missing_prediction_is_an_empty_answer(tmp_path: Path) -> None:
    write_prediction_file(tmp_path, "b", [LEFT])

    predictions, issues = _pair(tmp_path)

    assert predictions[0] == EMPTY_PREDICTION
    assert [(issue.kind, issue.location.record) for issue in issues] == [
        (IssueKind.MISSING_PREDICTION, "a")
    ]


def test_missing_prediction_of_an_unanswered_image_is_not_reported_twice(tmp_path: Path) -> None:
    write_prediction_file(tmp_path, "b", [LEFT])
    issues = IssueLog()

    pairs = pair_with_predictions(IMAGES, tmp_path, issues, unanswered={"a"})

    assert pairs[0].prediction == EMPTY_PREDICTION
    assert list(issues) == []


def test_line_separator_in_a_caption_becomes_a_space(tmp_path: Path) -> None:
    prediction, kinds = _pair_with_fields(tmp_path, caption="red\u2028ball")

    assert prediction.caption == "red ball"
    assert kinds == [IssueKind.LINE_SEPARATOR]


def test_half_a_character_costs_nothing_but_itself(tmp_path: Path) -> None:
    prediction, kinds = _pair_with_fields(tmp_path, caption="a \ud800 ball", phrases=["\udfff dog"])

    assert prediction.caption == "a \ufffd ball"
    assert prediction.phrases == ("\ufffd dog",)
    assert kinds == [IssueKind.INVALID_TEXT]


def test_runs_that_are_too_short_are_filled_up(tmp_path: Path) -> None:
    short = {"size": list(SIZE), "counts": [0, 4]}

    prediction, kinds = _pair_with_fields(tmp_path, pred_masks=[short])

    assert prediction.masks == (block(0, 0, 4, 1),)
    assert kinds == [IssueKind.DAMAGED_MASK]


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        (
            {"pred_masks": [code(block(0, 0, 2, 2, size=(4, 4)))]},
            IssueKind.SIZE_MISMATCH,
        ),
        ({"phrases": ["red ball", "blue cube"]}, IssueKind.COUNT_MISMATCH),
        ({"image_id": "c"}, IssueKind.IMAGE_ID),
        ({"scores": [0.5]}, IssueKind.SCORES),
    ],
    ids=["size", "count", "image_id", "scores_of_some_images"],
)
def test_inconsistent_prediction_is_reported(
    tmp_path: Path, fields: dict[str, object], kind: IssueKind
) -> None:
    _, kinds = _pair_with_fields(tmp_path, **fields)

    assert kinds == [kind]


def test_set_without_any_mask_is_reported(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_prediction_file(tmp_path, name, [])

    _, issues = _pair(tmp_path)

    assert [(issue.kind, issue.location.record) for issue in issues] == [(IssueKind.NO_MASKS, None)]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"caption": 3}, "field caption: must be text"),
        ({"phrases": "x"}, "field phrases: must be a list"),
        ({"pred_masks": [{"size": [8, 10]}]}, "field segmentation: needs counts"),
        ({"pred_masks": [{"size": [8, 10], "counts": [99]}]}, "99 pixels for a size of 80"),
        ({"pred_masks": [{"size": [8, 10], "counts": "~~"}]}, "field segmentation"),
        ({"scores": [0.1, 0.2]}, "2 scores for 1 masks"),
        ({"scores": [float("nan")]}, "field scores"),
    ],
    ids=["caption", "phrases", "no_counts", "too_many_pixels", "no_code", "num_scores", "nan"],
)
def test_damaged_prediction_is_located(
    tmp_path: Path, fields: dict[str, object], message: str
) -> None:
    with pytest.raises(DataError, match=f"a.json.*{message}"):
        _pair_with_fields(tmp_path, **fields)


def test_prediction_that_is_not_json_is_located_by_line(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"caption": ')

    with pytest.raises(DataError, match=r"a\.json: is not JSON: .* line 1"):
        _pair(tmp_path)


@pytest.mark.parametrize("name", ["../a", "a/b", "/a"], ids=["parent", "child", "absolute"])
def test_id_never_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="is no file name"):
        prediction_path(tmp_path, name)


def test_image_id_may_be_written_as_text(tmp_path: Path) -> None:
    images = (ground_truth_image(7, [LEFT]),)
    write_prediction_file(tmp_path, "7", [LEFT])

    assert [issue.kind for issue in _pair(tmp_path, images)[1]] == []


def test_files_of_no_image_are_named(tmp_path: Path) -> None:
    for name in ("a", "b", "A", "b.jpg"):
        write_prediction_file(tmp_path, name, [LEFT])
    (tmp_path / "notes.txt").write_text("not a prediction")
    issues = IssueLog()

    report_unused(IMAGES, tmp_path, issues)

    assert [issue.kind for issue in issues] == [IssueKind.UNUSED_PREDICTION]
    assert next(iter(issues)).reason == (
        "2 files belong to no image of the split and are not used: A.json, b.jpg.json"
    )


def test_only_the_first_files_of_no_image_are_named(tmp_path: Path) -> None:
    for number in range(9):
        write_prediction_file(tmp_path, f"x{number}", [LEFT])
    issues = IssueLog()

    report_unused(IMAGES, tmp_path, issues)

    reason = next(iter(issues)).reason
    assert reason.startswith("9 files belong to no image")
    assert reason.endswith("x0.json, x1.json, x2.json, x3.json, x4.json, …")


def test_complete_folder_has_no_unused_file(tmp_path: Path) -> None:
    for image in IMAGES:
        write_prediction_file(tmp_path, str(image.id), [LEFT])
    issues = IssueLog()

    report_unused(IMAGES, tmp_path, issues)

    assert list(issues) == []
