"""The official files of a split, whole and damaged."""

import json
from pathlib import Path

import numpy as np
import pytest

from glamm.errors import DataError
from glamm.evaluation.gcg.ground_truth import read_ground_truth
from glamm.evaluation.gcg.report import FAULTS
from glamm.geometry.masks import area, encode
from glamm.structures.gcg import GroundTruth
from glamm.structures.issue import Issue, IssueKind, IssueLog
from tests.builders.gcg import block, write_ground_truth

LEFT, RIGHT = block(0, 0, 4, 4), block(4, 6, 4, 4)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two images with one and two masks."""
    return write_ground_truth(tmp_path / "truth", {"a": [LEFT], "b": [LEFT, RIGHT]})


def _read(folder: Path, *, limit: int | None = None) -> tuple[GroundTruth, list[Issue]]:
    issues = IssueLog()
    return read_ground_truth(folder, "val", issues, limit=limit), list(issues)


def _kinds(issues: list[Issue]) -> list[tuple[IssueKind, str | None]]:
    return [(issue.kind, issue.location.record) for issue in issues]


def _edit(folder: Path, kind: str, path: str, *values: object) -> None:
    """Set or, without a value, delete a nested value of a file, such as `annotations/0/id`."""
    file = folder / f"val_gcg_coco_{kind}_gt.json"
    tree = node = json.loads(file.read_text())
    *parents, leaf = (int(key) if key.isdigit() else key for key in path.split("/"))
    for key in parents:
        node = node[key]
    if values:
        node[leaf] = values[0]
    else:
        del node[leaf]
    file.write_text(json.dumps(tree))


def test_files_are_read_from_their_folder_or_from_a_data_root(folder: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    below_root = root / "GranDf/annotations/val_test"
    below_root.parent.mkdir(parents=True)
    folder.rename(below_root)

    truth, issues = _read(below_root)

    assert _read(root)[0] == truth
    assert issues == []
    assert [image.id for image in truth.images] == ["a", "b"]
    assert [len(image.masks) for image in truth.images] == [1, 2]


@pytest.mark.parametrize(
    ("kind", "path", "value", "message"),
    [
        ("caption", "annotations/0/caption", 5, "annotations.0., field caption: must be text"),
        ("caption", "annotations/1/labels", "x", "annotations.1., field labels: must be a list"),
        ("caption", "images/1/id", "a", "record a: is listed twice"),
        ("caption", "images/1/id", 7, "mixes text and numbers"),
        ("caption", "images/1/id", None, "must be text or a whole number"),
        ("caption", "images", [], "lists no image"),
        ("caption", "images/1", 5, "record images.1.: must be an object"),
        ("mask", "annotations/0/segmentation", [[1, 2, 3, 4]], "must be an object"),
        ("mask", "annotations/0/area", "big", "field area"),
        ("mask", "annotations/0/id", "one", "field id: must be a whole number"),
    ],
    ids=[
        *("caption", "labels", "repeated_image", "mixed_ids", "missing_id", "no_image"),
        *("image", "segmentation", "area", "annotation_id"),
    ],
)
def test_damaged_record_is_located(
    folder: Path, kind: str, path: str, value: object, message: str
) -> None:
    _edit(folder, kind, path, value)

    with pytest.raises(DataError, match=f"val_gcg_coco_{kind}_gt.json.*{message}"):
        _read(folder)


def test_missing_file_is_reported(folder: Path) -> None:
    (folder / "val_gcg_coco_mask_gt.json").unlink()

    with pytest.raises(DataError, match=r"val_gcg_coco_mask_gt\.json: is missing"):
        _read(folder)
    with pytest.raises(
        DataError,
        match=r"holds no test_gcg_coco_caption_gt\.json.*needs GranD-f.s val and test files.*evaluate semseg.*evaluate refseg",
    ):
        read_ground_truth(folder, "test", IssueLog())


def test_area_field_is_kept_and_a_missing_one_is_measured(folder: Path) -> None:
    _edit(folder, "mask", "annotations/0/area", 5)
    _edit(folder, "mask", "annotations/1/area")

    truth, issues = _read(folder)

    assert truth.images[0].masks[0].area == 5.0
    assert truth.images[1].masks[0].area == area(LEFT)
    assert _kinds(issues) == [(IssueKind.MISSING_AREA, "b")]


def test_repeated_annotation_id_replaces_the_earlier_one_and_is_reported(folder: Path) -> None:
    _edit(folder, "mask", "annotations/2/id", 2)

    truth, issues = _read(folder)

    assert [mask.mask for mask in truth.images[1].masks] == [RIGHT]
    assert _kinds(issues) == [(IssueKind.DUPLICATE_ID, "b"), (IssueKind.COUNT_MISMATCH, "b")]
    assert issues[0].location.file == "val_gcg_coco_mask_gt.json"


def test_later_of_two_annotations_with_one_id_counts_twice(tmp_path: Path) -> None:
    """pycocotools resolves both entries to the later one, so average precision must count it twice."""
    code = encode(np.eye(8, dtype=bool))
    rle = {"size": list(code.size), "counts": code.counts.decode()}
    annotation = {"category_id": 1, "segmentation": rle, "area": 8.0}
    images = [{"id": name, "height": 8, "width": 8} for name in ("a", "b")]
    captions = [
        {"id": index, "image_id": name, "caption": "A line.", "labels": ["A line"]}
        for index, name in enumerate(("a", "b"), start=1)
    ]
    masks = [annotation | {"id": 7, "image_id": name} for name in ("a", "b")]
    for kind, annotations in (("caption", captions), ("mask", masks)):
        content = {"images": images, "annotations": annotations, "categories": [{"id": 1}]}
        (tmp_path / f"val_gcg_coco_{kind}_gt.json").write_text(json.dumps(content))

    truth, issues = _read(tmp_path)

    assert [[mask.occurrences for mask in image.masks] for image in truth.images] == [[], [2]]
    assert any("annotation id 7 occurs again" in issue.reason for issue in issues)


def test_image_without_a_caption_is_a_fault(folder: Path) -> None:
    _edit(folder, "caption", "annotations", [])

    truth, issues = _read(folder)

    assert truth.images[0].captions == truth.images[0].labels == ()
    assert _kinds(issues) == [(IssueKind.MISSING_CAPTION, "a"), (IssueKind.MISSING_CAPTION, "b")]
    assert IssueKind.MISSING_CAPTION in FAULTS


@pytest.mark.parametrize(
    "separator",
    ["\r", "\x0b", "\x0c", "\x85", "\u2028", "\u2029"],
    ids=["CR", "VT", "FF", "NEL", "LS", "PS"],
)
def test_line_separator_in_a_reference_becomes_a_space(folder: Path, separator: str) -> None:
    _edit(folder, "caption", "annotations/0/caption", f"A red{separator}ball.")

    truth, issues = _read(folder)

    assert truth.images[0].captions == ("A red ball.",)
    assert _kinds(issues) == [(IssueKind.LINE_SEPARATOR, "a")]


def test_limit_keeps_the_first_images_and_their_issues(folder: Path) -> None:
    _edit(folder, "mask", "annotations/0/area")
    _edit(folder, "mask", "annotations/1/area")

    truth, issues = _read(folder, limit=1)

    assert [image.id for image in truth.images] == ["a"]
    assert _kinds(issues) == [(IssueKind.MISSING_AREA, "a"), (IssueKind.LIMITED, None)]
    assert issues[-1].reason == "only the first 1 of 2 images are evaluated"


def test_limit_of_the_whole_split_changes_nothing(folder: Path) -> None:
    assert _read(folder, limit=2) == _read(folder)


def test_image_of_the_mask_file_alone_is_kept_apart(folder: Path) -> None:
    for path in ("images/1", "annotations/1"):
        _edit(folder, "caption", path)

    truth, issues = _read(folder)

    assert [image.id for image in truth.images] == ["a"]
    assert [image.id for image in truth.mask_only_images] == ["b"]
    assert issues == []


def test_half_a_character_in_a_reference_or_a_label_is_replaced(folder: Path) -> None:
    _edit(folder, "caption", "annotations/0/caption", "A \ud83d ball.")
    _edit(folder, "caption", "annotations/1/labels", ["caf\udce9", "dog"])

    truth, issues = _read(folder)

    assert truth.images[0].captions == ("A \ufffd ball.",)
    assert truth.images[1].labels[0] == "caf\ufffd"
    assert _kinds(issues) == [(IssueKind.INVALID_TEXT, "a"), (IssueKind.INVALID_TEXT, "b")]
    assert "U+D83D" in issues[0].reason


def test_ids_may_have_other_types_than_in_the_list_of_images(tmp_path: Path) -> None:
    folder = write_ground_truth(tmp_path / "truth", {"1": [LEFT], "2": [LEFT, RIGHT]})
    file = folder / "val_gcg_coco_mask_gt.json"
    content = json.loads(file.read_text())
    for image_id, annotation in zip((1, 2.0, "2"), content["annotations"], strict=True):
        annotation["image_id"] = image_id
    file.write_text(json.dumps(content))

    truth, issues = _read(folder)

    assert issues == []
    assert [image.id for image in truth.images] == ["1", "2"]
    assert [len(image.masks) for image in truth.images] == [1, 2]


def test_masks_of_an_image_that_is_not_listed_are_reported(folder: Path) -> None:
    _edit(folder, "mask", "annotations/0/image_id", "none")

    _, issues = _read(folder)

    assert "1 masks belong to this image, which is not listed" in [issue.reason for issue in issues]
