"""COCO files are read as the tools export them: the right images, splits and pixels, or one sentence that says why not."""

import json
from pathlib import Path

import pytest

from glamm.data.preparation.check import CheckedRecord
from glamm.data.preparation.read_checked import read_splits
from glamm.data.readers.registry import get_reader
from glamm.geometry import masks
from glamm.geometry.image_files import decode
from glamm.structures.issue import Issue
from tests.builders.coco_exports import (
    BLUE,
    LAYOUTS,
    RED,
    SIZE,
    coco_2017,
    cvat_project,
    write_coco,
    write_image,
)
from tests.builders.own_data import edit_json, read_records


def read(root: Path) -> tuple[dict[str, list[str]], list[str]]:
    """Images by split; each must have the object's color under its mask. And the issues."""
    items = list(read_splits(get_reader("coco"), root))
    images: dict[str, list[str]] = {}
    for item in items:
        if isinstance(item, CheckedRecord):
            sample = item.record.samples[0]
            [obj] = sample.objects
            assert obj.mask
            pixels = decode(item.image_bytes, size=sample.image.size, frame=sample.image.frame)
            colors = pixels[masks.decode(obj.mask)].mean(axis=0)
            assert sample.targets[0].text == "thing"
            assert min(abs(colors - RED).max(), abs(colors - BLUE).max()) < 6
            file = Path(sample.image.path or "").relative_to(root).as_posix()
            images.setdefault(sample.split, []).append(file)
    return images, [str(item) for item in items if isinstance(item, Issue)]


@pytest.mark.parametrize("make", LAYOUTS, ids=lambda make: make.__name__)
def test_export_is_read_as_it_comes(tmp_path, make):
    expected = make(tmp_path)

    assert read(tmp_path) == (expected, [])


def test_subset_of_an_unknown_name_is_read_as_train_and_said(tmp_path):
    expected = cvat_project(tmp_path)

    images, issues = read(tmp_path)

    assert images == expected
    assert issues == [
        "file annotations/instances_batch_7.json, record all: names no split and is read as train (assumed)"
    ]


def test_only_file_of_any_name_is_read_as_train_and_said(tmp_path):
    write_image(tmp_path / "a.jpg")
    write_coco(tmp_path / "my_project-2.json", "a.jpg")

    images, issues = read(tmp_path)

    assert images == {"train": ["a.jpg"]}
    assert issues == [
        "file my_project-2.json, record all: names no split and is read as train (assumed)"
    ]


def test_files_that_could_both_be_meant_are_listed(tmp_path):
    write_image(tmp_path / "a.jpg")
    for name in ("first.json", "second.json"):
        write_coco(tmp_path / name, "a.jpg")

    images, [issue] = read(tmp_path)

    assert images == {}
    assert "train may be any of first.json, second.json: name the one that is meant" in issue


def test_file_that_is_not_read_is_named_with_the_one_that_is(tmp_path):
    coco_2017(tmp_path)
    write_coco(tmp_path / "annotations/person_keypoints_train2017.json", "1.jpg")
    write_coco(tmp_path / "annotations/panoptic_val2017.json", "1.jpg")

    images, issues = read(tmp_path)

    assert images == {"train": ["train2017/1.jpg"], "val": ["val2017/1.jpg"]}
    assert issues == [
        "file annotations/person_keypoints_train2017.json, record all: is not read, but "
        "annotations/instances_train2017.json: both are for train (assumed)"
    ]


def test_samples_of_several_files_have_different_ids(tmp_path):
    cvat_project(tmp_path)

    records, _ = read_records("coco", tmp_path, "train")

    ids = [record.samples[0].sample_id for record in records]
    assert ids == ["coco/train/Train/0/classes", "coco/train/batch_7/0/classes"]


@pytest.mark.parametrize(
    "name",
    [
        "images\\\\1/90fbb0c7-a.jpg",
        r"..\..\label-studio\label-studio\media\upload\4\90fbb0c7-a.jpg",
        r"C:\Users\me\AppData\Local\label-studio\label-studio\media\upload\4\90fbb0c7-a.jpg",
        "/home/me/.local/share/label-studio/media/upload/1/90fbb0c7-a.jpg",
        "/data/local-files/?d=pictures/90fbb0c7-a.jpg",
        "https://host.example/data/upload/1/90fbb0c7-a.jpg?token=5",
        "s3://bucket/90fbb0c7-a.jpg",
        "90FBB0C7-A.JPG",
    ],
    ids=["doubled", "upward", "windows", "upload", "local files", "url", "bucket", "capitals"],
)
@pytest.mark.parametrize("stored", ["90fbb0c7-a.jpg", "a.jpg"])
def test_image_is_found_by_the_end_of_its_path_and_said(tmp_path, name, stored):
    write_image(tmp_path / "images" / stored)
    write_coco(tmp_path / "result.json", name)

    images, [issue] = read(tmp_path)

    assert images == {"train": [f"images/{stored}"]}
    assert "1 image(s) are not where their names say" in issue
    assert f"is images/{stored} (assumed)" in issue


def test_path_decides_between_images_of_one_name(tmp_path):
    for folder in ("day", "night"):
        write_image(tmp_path / f"pictures/{folder}/1.jpg")
    write_coco(tmp_path / "result.json", "/home/me/day/1.jpg", "/home/me/night/1.jpg")

    images, _ = read(tmp_path)

    assert images == {"train": ["pictures/day/1.jpg", "pictures/night/1.jpg"]}


def test_images_of_one_name_are_listed_when_the_path_does_not_decide(tmp_path):
    for folder in ("day", "night"):
        write_image(tmp_path / f"pictures/{folder}/1.jpg")
    write_coco(tmp_path / "result.json", "/home/me/1.jpg")

    images, [issue] = read(tmp_path)

    assert images == {}
    assert "may be any of 2 images: pictures/day/1.jpg, pictures/night/1.jpg (left out)" in issue


@pytest.mark.parametrize(
    "names",
    [("/day/1.jpg", "/night/1.jpg"), ("/up/0a1b2c3d-1.jpg", "/up/99999999-1.jpg")],
    ids=["folders", "uploads"],
)
def test_image_that_several_names_could_mean_is_not_guessed(tmp_path, names):
    write_image(tmp_path / "images/1.jpg")
    write_coco(tmp_path / "result.json", *names)

    images, issues = read(tmp_path)

    assert images == {}
    assert len(issues) == 2
    assert "may be images/1.jpg, but so may others of the file's images" in issues[0]


def test_other_upload_of_the_same_name_is_another_image(tmp_path):
    write_image(tmp_path / "images/0a1b2c3d-1.jpg")
    write_coco(tmp_path / "result.json", "images/99999999-1.jpg")

    images, [issue] = read(tmp_path)

    assert images == {}
    assert "there is no image 'images/99999999-1.jpg'" in issue


def test_image_of_another_split_is_not_taken_for_a_missing_one(tmp_path):
    coco_2017(tmp_path)
    write_image(tmp_path / "val2017/2.jpg", BLUE)
    write_coco(tmp_path / "annotations/instances_train2017.json", "1.jpg", "2.jpg")

    images, [issue] = read(tmp_path)

    assert images["train"] == ["train2017/1.jpg"]
    assert "there is no image '2.jpg' in train2017" in issue


def test_image_outside_the_root_is_not_opened(tmp_path):
    write_image(tmp_path / "outside.jpg")
    root = tmp_path / "root"
    (root / "images").mkdir(parents=True)
    (root / "images/a.jpg").symlink_to(tmp_path / "outside.jpg")
    write_coco(root / "result.json", "/elsewhere/a.jpg", str(tmp_path / "outside.jpg"))

    images, issues = read(root)

    assert images == {}
    assert "points outside the data set's folder" in issues[0]
    assert "no file name inside the image folder" in issues[1]


def test_annotation_that_is_only_a_box_is_left_out_and_said(tmp_path):
    write_image(tmp_path / "train/a.jpg")
    write_coco(tmp_path / "train/_annotations.coco.json", "a.jpg", segmentation=[])

    images, issues = read(tmp_path)

    assert images == {}
    assert "field annotation 0.segmentation: has no pixels: only a box is given" in issues[0]
    assert "record image 0: none of its annotations can be used (left out)" in issues[1]


def test_same_id_in_another_file_may_be_another_image(tmp_path):
    for name, color in (("a.jpg", RED), ("b.jpg", BLUE)):
        write_image(tmp_path / "images" / name, color)
    write_coco(tmp_path / "annotations/instances_train.json", "a.jpg")
    captions = {
        "images": [{"id": 0, "file_name": "b.jpg", "height": SIZE[0], "width": SIZE[1]}],
        "annotations": [{"id": 3, "image_id": 0, "caption": "Something blue."}],
    }
    (tmp_path / "annotations/captions_train.json").write_text(json.dumps(captions))

    records, issues = read_records("coco", tmp_path)

    assert issues == []
    assert [[s.sample_id for s in record.samples] for record in records] == [
        ["coco/train/0/classes"],
        ["coco/train/0/3"],
    ]
    assert [record.samples[0].image.key for record in records] == ["a.jpg", "b.jpg"]


def test_image_is_found_by_its_url_where_it_has_no_name(tmp_path):
    write_image(tmp_path / "train2017/7.jpg")
    write_coco(tmp_path / "annotations/lvis_v1_train.json", "7.jpg")
    edit_json(
        tmp_path / "annotations/lvis_v1_train.json",
        lambda content: content["images"][0].update(
            coco_url=f"http://host.example/train2017/{content['images'][0].pop('file_name')}"
        ),
    )

    images, [issue] = read(tmp_path)

    assert images == {"train": ["train2017/7.jpg"]}
    assert "is train2017/7.jpg (assumed)" in issue


def test_absolute_path_inside_the_folder_is_no_assumption(tmp_path):
    write_image(tmp_path / "data/1.jpg")
    write_coco(tmp_path / "labels.json", str(tmp_path / "data/1.jpg"))

    assert read(tmp_path) == ({"train": ["data/1.jpg"]}, [])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("[]", "the file: must be an object, is a list"),
        ("{}", "images: lists no images"),
        ("null", "the file: must be an object"),
        ('{"images": 3, "annotations": []}', "images: must be a list"),
        ("{", "is not JSON"),
    ],
    ids=["list", "empty", "null", "number", "cut"],
)
def test_file_without_images_is_an_issue(tmp_path, content, reason):
    (tmp_path / "instances_train.json").write_text(content)

    images, [issue] = read(tmp_path)

    assert images == {}
    assert issue.startswith("file instances_train.json, record ")
    assert reason in issue
