import base64
import io
import json
import math
import unicodedata

import numpy as np
import pytest
from PIL import Image

from glamm.data.preparation.read_checked import read_checked
from glamm.data.readers.registry import READERS_BY_NAME
from glamm.geometry import masks
from tests.builders.data import jpeg
from tests.builders.own_data import (
    areas_by_text,
    labelme_root,
    labelme_shape,
    labelme_shapes_root,
    read_records,
)


def change_file(root, **fields):
    path = root / "0.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def test_shapes_of_a_group_are_one_object(tmp_path):
    records, issues = read_records("labelme", labelme_root(tmp_path))

    assert len(records) == 3
    [sample] = records[0].samples
    assert [masks.area(obj.mask) for obj in sample.objects] == [100 + 32, 52]
    assert [(target.text, target.object_ids) for target in sample.targets] == [("cup", (0, 1))]
    assert issues[0].startswith(
        "file 0.json, record 0, field shapes[3].shape_type: this kind of shape is not supported (line 'spoon')"
    )


def test_image_path_is_relative_to_the_file(tmp_path):
    root = labelme_root(tmp_path)
    (root / "annotations").mkdir()
    content = json.loads((root / "0.json").read_text()) | {"imagePath": "..\\0.jpg"}
    (root / "annotations/0.json").write_text(json.dumps(content))

    records, _ = read_records("labelme", root)

    assert len(records) == 4


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"imagePath": "../x.jpg"}, "field imagePath: '../x.jpg' leaves the data set's folder"),
        ({"imagePath": None}, "field imagePath: is missing"),
        ({"imageHeight": 24.5}, "field imageHeight: must be a whole number, is float"),
        ({"imageHeight": 0}, "field imageHeight, imageWidth: must be height and width in pixels"),
        ({"shapes": {}}, "field shapes: must be a list, is an object"),
        ({"shapes": []}, "has no shapes"),
        ({"imageHeight": None}, "field imageHeight, imageWidth: is missing"),
        ({"imageHeight": 10, "imageWidth": 10}, "are stated as 10 x 10 (height x width)"),
    ],
    ids=[
        "outside",
        "no path",
        "fraction",
        "no height",
        "shapes",
        "no shapes",
        "half a size",
        "another size",
    ],
)
def test_invalid_file_is_left_out_alone(tmp_path, fields, message):
    root = labelme_root(tmp_path)
    change_file(root, **fields)

    records, issues = read_records("labelme", root)

    assert len(records) == 2
    assert any(message in issue for issue in issues)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ({"label": " ", "points": []}, "field shapes[0].label: is empty"),
        ({"label": 3}, "field shapes[0].label: must be text, is int"),
        ({"label": "a", "points": [[1, 2], [3]]}, "field shapes[0].points[1][1]: is missing"),
        (
            {"label": "a", "points": [[1, 2]]},
            "field shapes[0].points: a polygon needs three points",
        ),
        (3, "field shapes[0]: must be an object, is int"),
    ],
    ids=["empty label", "number", "half a point", "one point", "no object"],
)
def test_invalid_shape_is_left_out_alone(tmp_path, shape, message):
    root = labelme_root(tmp_path)
    valid = {"label": "cup", "points": [[2, 2], [12, 12]], "shape_type": "rectangle"}
    change_file(root, shapes=[shape, valid])

    records, issues = read_records("labelme", root)

    assert len(records[0].samples[0].objects) == 1
    assert message in issues[0]


def only_mask(root):
    [record], issues = read_records("labelme", root)
    [obj] = record.samples[0].objects
    assert not issues
    return masks.decode(obj.mask)


L_SHAPE = np.array([[1, 0, 0, 0], [1, 0, 0, 0], [1, 1, 1, 1]], dtype=bool)


def base64_png(image):
    file = io.BytesIO()
    image.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def patch(pixels=L_SHAPE, mode="L", foreground=255):
    return base64_png(Image.fromarray(pixels.astype(np.uint8) * foreground).convert(mode))


@pytest.mark.parametrize(
    ("points", "top_left"),
    [
        ([[30, 20], [33, 22]], (20, 30)),
        ([[33.0, 22.0], [30.0, 20.0]], (20, 30)),
        ([[33, 20], [30, 22]], (20, 30)),
        ([[10.4, 10.6], [13.2, 12.7]], (11, 10)),
        ([[30, 20], [34, 23]], (20, 30)),
    ],
    ids=["inclusive", "last corner first", "other diagonal", "fractions", "exclusive"],
)
def test_patch_of_a_mask_lies_at_its_first_corner(tmp_path, points, top_left):
    expected = np.zeros((80, 100), dtype=bool)
    expected[top_left[0] : top_left[0] + 3, top_left[1] : top_left[1] + 4] = L_SHAPE

    mask = only_mask(labelme_shapes_root(tmp_path, labelme_shape("mask", points, mask=patch())))

    assert (mask == expected).all()


@pytest.mark.parametrize(
    ("mode", "foreground"), [("L", 255), ("L", 1), ("1", 255), ("P", 3)], ids=str
)
def test_every_value_above_zero_of_a_mask_is_foreground(tmp_path, mode, foreground):
    text = patch(mode=mode, foreground=foreground)
    root = labelme_shapes_root(tmp_path, labelme_shape("mask", [[0, 0], [3, 2]], mask=text))

    assert (only_mask(root)[:3, :4] == L_SHAPE).all()


def test_patch_that_reaches_outside_is_cut_off(tmp_path):
    root = labelme_shapes_root(
        tmp_path,
        labelme_shape("mask", [[-2, -1], [1, 1]], mask=patch(), label="first"),
        labelme_shape("mask", [[98, 78], [101, 80]], mask=patch(), label="last"),
    )

    [record], _ = read_records("labelme", root)

    first, last = (masks.decode(obj.mask) for obj in record.samples[0].objects)
    assert np.argwhere(first).tolist() == [[1, 0], [1, 1]]
    assert np.argwhere(last).tolist() == [[78, 98], [79, 98]]


@pytest.mark.parametrize(
    ("kind", "points", "area"),
    [
        ("oriented_rectangle", [[50, 30], [60, 40], [50, 50], [40, 40]], 200),
        ("rotation", [[20, 10], [80, 10], [80, 20], [20, 20]], 600),
        ("rectangle", [[30, 25], [10, 5]], 400),
        ("rectangle", [[30, 5], [10, 25]], 400),
        ("rectangle", [[10, 5], [30, 5], [30, 25], [10, 25]], 400),
        ("circle", [[50, 40], [50, 60]], math.pi * 400),
        (None, [[0, 0], [10, 0], [10, 10]], 50),
    ],
    ids=[
        "oriented rectangle",
        "rotation",
        "last corner first",
        "other diagonal",
        "four corners",
        "circle",
        "no kind",
    ],
)
def test_shapes_have_their_areas(tmp_path, kind, points, area):
    mask = only_mask(labelme_shapes_root(tmp_path, labelme_shape(kind, points)))

    assert mask.sum() == pytest.approx(area, rel=0.02, abs=5)


@pytest.mark.parametrize("kind", ["linestrip", "line", "point", "points", "cuboid"])
def test_shape_without_an_area_is_called_not_supported(tmp_path, kind):
    cup = labelme_shape("rectangle", [[2, 2], [12, 12]], label="cup")
    root = labelme_shapes_root(tmp_path, cup, labelme_shape(kind, [[1, 1], [9, 9]], label="path"))

    [record], issues = read_records("labelme", root)

    assert areas_by_text(record.samples[0]) == {"cup": 100}
    assert issues == [
        "file a.json, record a, field shapes[1].shape_type: this kind of shape is not supported "
        f"({kind} 'path') (left out in part)"
    ]


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (labelme_shape("mask", [[1, 1], [4, 3]]), ".mask: is missing (mask 'thing')"),
        (labelme_shape("mask", [[1, 1]], mask=patch()), ".points: must be 2 points, are 1"),
        (labelme_shape("mask", [[1, 1], [4, 3]], mask="AAAA"), ".mask: is no PNG that can be read"),
        (labelme_shape("mask", [[1, 1], [4, 3]], mask="A"), ".mask: "),
        (
            labelme_shape("mask", [[1, 1], [14, 3]], mask=patch()),
            ".mask: is 3 x 4 (height x width), its points span 3 x 14",
        ),
        (
            labelme_shape("mask", [[1, 1], [4, 3]], mask=base64_png(Image.new("RGB", (4, 3)))),
            ".mask: must be a gray PNG, is RGB",
        ),
        (
            labelme_shape("mask", [[1, 1], [4, 3]], mask=base64_png(Image.new("1", (900, 900)))),
            ".mask: has 900 x 900 pixels, more than its image",
        ),
        (
            labelme_shape("mask", [[1, 1], [4, 3]], mask=patch(np.zeros((3, 4)))),
            ": covers no pixel of the image (mask 'thing')",
        ),
        (
            labelme_shape("rectangle", [[101, 2], [120, 9]]),
            ": covers no pixel of the image (rectangle 'thing')",
        ),
        (labelme_shape("oriented_rectangle", [[1, 1], [4, 3]]), ".points: must be 4 points, are 2"),
        (
            labelme_shape("rectangle", [[1, 1], [4, 3], [5, 5]]),
            ".points: must be 2 or 4 points, are 3",
        ),
        (labelme_shape("circle", [[1, 1]]), ".points: must be 2 points, are 1 (circle 'thing')"),
    ],
    ids=[
        "no patch",
        "one corner",
        "no png",
        "no base64",
        "another extent",
        "colors",
        "huge",
        "empty",
        "outside",
        "two corners",
        "three corners",
        "center only",
    ],
)
def test_shape_that_cannot_be_used_is_an_issue(tmp_path, broken, message):
    root = labelme_shapes_root(tmp_path, labelme_shape("rectangle", [[2, 2], [12, 12]]), broken)

    [record], [issue] = read_records("labelme", root)

    assert len(record.samples[0].objects) == 1
    assert f"record a, field shapes[1]{message}" in issue


def test_file_of_an_old_version_needs_no_size(tmp_path):
    """LabelMe 3.0 wrote colors, and neither kinds nor sizes."""
    old = {
        "label": "cup",
        "line_color": None,
        "fill_color": None,
        "points": [[0, 0], [9, 0], [9, 9]],
    }
    root = labelme_shapes_root(
        tmp_path, old, imageHeight=None, imageWidth=None, lineColor=[0, 255, 0, 128]
    )

    assert only_mask(root).shape == (80, 100)


def test_file_may_begin_with_a_byte_order_mark(tmp_path):
    root = labelme_shapes_root(tmp_path, labelme_shape("rectangle", [[2, 2], [12, 12]]))
    path = root / "a.json"
    path.write_text(path.read_text(encoding="utf-8"), encoding="utf-8-sig")

    assert only_mask(root).sum() == 100


@pytest.mark.parametrize(
    "stated",
    ["a.jpg", "./a.jpg", "..\\..\\old\\a.jpg", "C:\\Users\\me\\a.jpg", "/home/me/a.jpg"],
)
def test_image_that_moved_with_its_file_is_found_beside_it(tmp_path, stated):
    root = labelme_shapes_root(
        tmp_path, labelme_shape("rectangle", [[2, 2], [12, 12]]), imagePath=stated
    )

    assert only_mask(root).sum() == 100


def test_images_of_one_name_in_two_folders_have_keys_of_their_own(tmp_path):
    for split in ("train", "val"):
        (tmp_path / split).mkdir()
        labelme_shapes_root(tmp_path / split, labelme_shape("rectangle", [[2, 2], [12, 12]]))

    records, _ = read_records("labelme", tmp_path)

    assert [record.samples[0].image.key for record in records] == ["train/a.jpg", "val/a.jpg"]


def test_image_that_only_its_file_holds_is_read(tmp_path):
    content = jpeg((80, 100))
    data = base64.b64encode(content).decode()
    root = labelme_shapes_root(
        tmp_path, labelme_shape("rectangle", [[2, 2], [12, 12]]), imageData=data
    )
    (root / "a.jpg").unlink()

    [item] = read_checked(READERS_BY_NAME["labelme"], root)

    assert item.image_bytes == content
    assert item.record.samples[0].image.size == (80, 100)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (None, "field file_name: there is no image 'a.jpg'"),
        ("A", "field imageData: is no base64"),
        ("AAAA", "field imageData: the image is no image that can be read"),
        (
            base64.b64encode(jpeg((10, 10))).decode(),
            "field imageData: is 10 x 10 (height x width), stated are 80 x 100",
        ),
    ],
    ids=["none", "no base64", "no image", "another size"],
)
def test_missing_image_that_its_file_does_not_hold_is_left_out(tmp_path, data, message):
    root = labelme_shapes_root(
        tmp_path, labelme_shape("rectangle", [[2, 2], [12, 12]]), imageData=data
    )
    (root / "a.jpg").unlink()

    _, [issue] = read_records("labelme", root)

    assert message in issue


@pytest.mark.parametrize(("stated", "written"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_image_may_be_named_in_another_unicode_form(tmp_path, stated, written):
    stated, written = (unicodedata.normalize(form, "caf\u00e9.jpg") for form in (stated, written))
    root = labelme_shapes_root(
        tmp_path, labelme_shape("rectangle", [[2, 2], [12, 12]]), imagePath=stated
    )
    (root / "a.jpg").rename(root / written)

    assert only_mask(root).sum() == 100


@pytest.mark.parametrize(
    ("label_file", "image"),
    [
        ("images/a.json", "images/a.jpg"),
        ("labels/a.json", "images/a.jpg"),
        ("labels/train/a.json", "images/train/a.jpg"),
        ("annotations/a.json", "images/a.jpg"),
    ],
    ids=str,
)
def test_files_and_images_may_have_folders_of_their_own(tmp_path, label_file, image):
    root = labelme_shapes_root(
        tmp_path, labelme_shape("rectangle", [[2, 2], [12, 12]]), imagePath="..\\old\\a.jpg"
    )
    for old, new in (("a.json", label_file), ("a.jpg", image)):
        (root / new).parent.mkdir(parents=True, exist_ok=True)
        (root / old).rename(root / new)

    [record], _ = read_records("labelme", root, "train")

    assert record.samples[0].image.key == image
