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


def test_unknown_class_is_left_out_alone(tmp_path):
    records, issues = read_records("ade20k", ade20k_root(tmp_path, two_classes(second=200)))

    assert [obj.id for obj in records[0].samples[0].objects] == [1]
    assert "record a, field labels: there is no class 200" in issues[0]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.ones((24, 30), np.uint8), "is 24 x 30 (height x width), the image is 24 x 32"),
        (np.ones((*SIZE, 3), np.uint8), "must have one number per pixel, its mode is RGB"),
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


def test_invalid_configuration_of_mapillary_is_an_error(tmp_path):
    root = copy_format("mapillary", tmp_path)
    edit_json(
        root / "mapillary/config_v2.0.json", lambda content: content["labels"][2].pop("readable")
    )

    with pytest.raises(
        DataError,
        match=r"^file mapillary/config_v2\.0\.json, field labels\[2\]\.readable: is missing$",
    ):
        mapillary_classes(root)
