import pytest

from glamm.data.parsing.coco_exports import choose_files, find_annotation_files, split_in_name

COCO = '{"images": [], "annotations": []}'


def write(root, *files, text=COCO):
    for file in files:
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("instances_train2017", "train"),
        ("instances_Train", "train"),
        ("Validation", "val"),
        ("valid", "val"),
        ("my-testing_set", "test"),
        ("train_val", None),
        ("trainval2014", None),
        ("strain", None),
        ("instances_default", None),
    ],
)
def test_split_is_a_word_of_the_name(name, split):
    assert split_in_name(name) == split


def test_other_forms_are_no_annotation_files(tmp_path):
    write(tmp_path, "labels.json", text='{"classes": ["a"], "labels": {"1": 0}}')
    write(tmp_path, "a.json", text='{"shapes": [], "imagePath": "a.jpg"}')
    write(tmp_path, "data.json", text='{"categories": {"label": {}}, "items": []}')
    write(
        tmp_path,
        "panoptic_train2017.json",
        "image_info_test.json",
        "._instances_train.json",
        "deep/er/train.json",
    )

    assert find_annotation_files(tmp_path) == []


def test_content_of_a_folder_with_a_file_per_image_is_not_searched(tmp_path):
    write(tmp_path, *(f"{index}.json" for index in range(201)), "instances_val.json")

    assert [one.file for one in find_annotation_files(tmp_path)] == ["instances_val.json"]


@pytest.mark.parametrize(
    ("files", "chosen"),
    [
        (["instances.json", "result.json"], "instances.json"),
        (["train.json", "result.json"], "train.json"),
        (["annotations/instances_train2014.json", "annotations/instances_train2017.json"],
         "annotations/instances_train2017.json"),
        (["annotations/instances_train.json", "annotations/stuff_train.json"],
         "annotations/instances_train.json"),
    ],
    ids=["usual name", "named split", "newer year", "objects"],
)  # fmt: skip
def test_plainest_name_is_chosen(tmp_path, files, chosen):
    write(tmp_path, *files)

    result = choose_files(find_annotation_files(tmp_path), "train")

    assert [one.file for one in result.chosen] == [chosen]
    assert {one.file for one, _ in result.unread} == set(files) - {chosen}


def test_images_are_first_looked_for_beside_the_file(tmp_path):
    write(tmp_path, "valid/_annotations.coco.json", "images/a.txt", "val/a.txt")

    [file] = find_annotation_files(tmp_path)

    assert file.split == "val"
    assert file.image_folders == ("valid", "val", "images", ".")
