import numpy as np
import pytest
from PIL import Image

from glamm.data.readers.semantic_png import mapillary_classes
from glamm.errors import DataError
from tests.builders.data import FORMATS, SIZE, jpeg
from tests.builders.own_data import copy_format, edit_json, read_records

LABELS = "Semantic_Segm/ade20k/annotations/training"
IMAGES = "Semantic_Segm/ade20k/images/training"


def ade20k_root(root, labels):
    """One label map with the given class numbers, and its image."""
    for folder in (LABELS, IMAGES):
        (root / folder).mkdir(parents=True)
    (root / IMAGES / "a.jpg").write_bytes(jpeg())
    Image.fromarray(labels).save(root / LABELS / "a.png")
    return root


COLORS = np.dstack([np.full(SIZE, value, np.uint8) for value in (1, 2, 3)])


def two_classes(dtype=np.uint8, *, second=3):
    """Class 1 (wall) on the left, another one on the right, nothing in the last row."""
    labels = np.ones(SIZE, dtype=dtype)
    labels[:, 16:] = second
    labels[-1] = 0
    return labels


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16], ids=["8 bits", "16 bits"])
def test_class_is_one_object(tmp_path, dtype):
    records, issues = read_records("ade20k", ade20k_root(tmp_path, two_classes(dtype)))

    assert issues == []
    [sample] = records[0].samples
    assert [(obj.id, obj.labels, obj.box) for obj in sample.objects] == [
        (1, ("wall",), (0, 0, 16, 23)),
        (3, ("sky",), (16, 0, 32, 23)),
    ]
    assert [(target.text, target.object_ids) for target in sample.targets] == [
        ("wall", (1,)),
        ("sky", (3,)),
    ]


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_numbers_may_be_in_every_color(tmp_path, mode):
    root = ade20k_root(tmp_path, two_classes())
    path = root / LABELS / "a.png"
    opaque = [Image.new("L", SIZE[::-1], 255)] * mode.count("A")
    Image.merge(mode, [*[Image.open(path)] * len(mode.rstrip("A")), *opaque]).save(path)

    records, issues = read_records("ade20k", root)

    assert issues == []
    assert [target.text for target in records[0].samples[0].targets] == ["wall", "sky"]


def test_image_without_a_class_is_said(tmp_path):
    records, issues = read_records("ade20k", ade20k_root(tmp_path, np.zeros(SIZE, np.uint8)))

    assert [record.samples[0].targets for record in records] == [()]
    assert "record a, field labels: has no pixel with a class" in issues[0]


def test_missing_image_is_named_with_all_suffixes(tmp_path):
    root = ade20k_root(tmp_path, two_classes())
    (root / IMAGES / "a.jpg").unlink()

    _, issues = read_records("ade20k", root)

    assert "there is no image a.jpg or a.jpeg or a.png or a.webp in" in issues[0]


@pytest.mark.parametrize("suffix", [".JPG", ".jpeg", ".PNG"])
def test_image_may_have_other_suffixes(tmp_path, suffix):
    root = ade20k_root(tmp_path, two_classes())
    (root / IMAGES / "a.jpg").rename(root / IMAGES / f"a{suffix}")

    records, issues = read_records("ade20k", root)

    assert issues == []
    assert len(records) == 1


def test_hidden_files_are_no_label_maps_and_no_images(tmp_path):
    root = ade20k_root(tmp_path, two_classes())
    (root / LABELS / "._a.png").write_bytes(b"\0\5\x16\7")
    (root / IMAGES / "._a.jpg").write_bytes(b"\0\5\x16\7")

    records, issues = read_records("ade20k", root)

    assert issues == []
    assert len(records) == 1


def test_unknown_class_is_left_out_alone(tmp_path):
    records, issues = read_records("ade20k", ade20k_root(tmp_path, two_classes(second=200)))

    assert [obj.id for obj in records[0].samples[0].objects] == [1]
    assert "record a, field labels: there is no class 200" in issues[0]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.ones((24, 30), np.uint8), "is 24 x 30 (height x width), the image is 24 x 32"),
        (COLORS, "must have one number per pixel, its mode is RGB"),
    ],
    ids=["other size", "colors"],
)
def test_label_map_that_does_not_fit_is_left_out(tmp_path, labels, message):
    records, issues = read_records("ade20k", ade20k_root(tmp_path, labels))

    assert records == []
    assert message in issues[0]


def test_classes_of_mapillary_are_in_lower_case():
    classes = mapillary_classes(FORMATS / "mapillary/root")

    assert classes[1] == "ground animal"


def test_missing_configuration_of_mapillary_is_an_error(tmp_path):
    with pytest.raises(DataError, match=r"^file mapillary/config_v2\.0\.json: is missing below"):
        mapillary_classes(tmp_path)


def test_class_of_mapillary_without_a_name_costs_only_itself(tmp_path):
    root = copy_format("mapillary", tmp_path)

    def edit(content):
        content["labels"][0]["readable"] = " Bird "
        content["labels"][1]["readable"] = None
        content["labels"][2] = None

    edit_json(root / "mapillary/config_v2.0.json", edit)

    classes = mapillary_classes(root)

    assert classes[0] == "bird"
    assert classes[3] == "fence"
    assert not {1, 2} & classes.keys()


def test_invalid_configuration_of_mapillary_is_an_error(tmp_path):
    root = copy_format("mapillary", tmp_path)
    edit_json(root / "mapillary/config_v2.0.json", lambda content: content.update(labels=[{}]))

    with pytest.raises(DataError, match="names no class"):
        mapillary_classes(root)
