"""Masks lie on their objects, however the camera was held: in the samples and in the shards."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from glamm.config.data import PrepareConfig
from glamm.data.preparation.prepare import prepare
from glamm.data.shards.reader import ShardReader, read_pixels
from glamm.geometry import masks
from glamm.structures.sample import Obj

RED = (200, 30, 30)
X1, Y1, X2, Y2 = 10, 8, 30, 20  # the red object, in the image as EXIF turns it

_UNDO = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""From the image as it is seen to the image as a camera stores it, by EXIF orientation."""


def photograph(path: Path, *, size: tuple[int, int], orientation: int) -> None:
    """Write a gray photograph with a red object; `size` is (height, width) as it is seen."""
    pixels = np.full((*size, 3), 120, dtype=np.uint8)
    pixels[Y1:Y2, X1:X2] = RED
    image = Image.fromarray(pixels)
    if orientation in _UNDO:
        image = image.transpose(_UNDO[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, quality=100, subsampling=0, exif=exif)


def labelme(root: Path, size: tuple[int, int]) -> Path:
    """Annotate `a.jpg` with LabelMe."""
    shape = {"label": "thing", "points": [[X1, Y1], [X2, Y2]], "shape_type": "rectangle"}
    content = {
        "version": "5.4.1",
        "shapes": [shape],
        "imagePath": "a.jpg",
        "imageHeight": size[0],
        "imageWidth": size[1],
    }
    (root / "a.json").write_text(json.dumps(content), encoding="utf-8")
    return root / "a.jpg"


def cvat(root: Path, size: tuple[int, int]) -> Path:
    """Annotate `images/a.jpg` with CVAT."""
    box = f'<box label="thing" xtl="{X1}" ytl="{Y1}" xbr="{X2}" ybr="{Y2}"/>'
    image = f'<image id="0" name="a.jpg" width="{size[1]}" height="{size[0]}">{box}</image>'
    (root / "annotations.xml").write_text(f"<annotations>{image}</annotations>", encoding="utf-8")
    return root / "images/a.jpg"


def coco(
    path: Path, size: tuple[int, int], box: Sequence[float] = (X1, Y1, X2, Y2), **fields: object
) -> None:
    """Annotate `a.jpg` in COCO's form."""
    x1, y1, x2, y2 = box
    annotation = {
        "id": 1,
        "image_id": 1,
        "category_id": 1,
        "segmentation": [[x1, y1, x2, y1, x2, y2, x1, y2]],
        "attributes": {"occluded": False} if "cvat" in fields else {},
    }
    content = {
        "info": fields,
        "images": [{"id": 1, "file_name": "a.jpg", "height": size[0], "width": size[1]}],
        "annotations": [annotation],
        "categories": [{"id": 1, "name": "thing"}],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def roboflow(root: Path, size: tuple[int, int]) -> Path:
    coco(root / "train/_annotations.coco.json", size)
    return root / "train/a.jpg"


def fiftyone(root: Path, size: tuple[int, int]) -> Path:
    coco(root / "labels.json", size)
    return root / "data/a.jpg"


def label_studio(root: Path, size: tuple[int, int]) -> Path:
    coco(root / "result.json", size)
    return root / "images/a.jpg"


def cvat_coco(root: Path, size: tuple[int, int]) -> Path:
    coco(root / "annotations/instances_default.json", size)
    return root / "images/default/a.jpg"


def renamed_label_studio(root: Path, size: tuple[int, int]) -> Path:
    coco(root / "annotations/instances_train.json", size, contributor="Label Studio")
    return root / "images/a.jpg"


def renamed_cvat(root: Path, size: tuple[int, int]) -> Path:
    coco(root / "annotations/instances_train.json", size, cvat="")
    return root / "images/a.jpg"


def jsonl(root: Path, size: tuple[int, int], box=(X1, Y1, X2, Y2), frame="turned") -> Path:
    x1, y1, x2, y2 = box
    line = {
        "task": "semseg",
        "image": {"file": "a.jpg", "frame": frame, "height": size[0], "width": size[1]},
        "objects": [{"id": 1, "segmentation": [[x1, y1, x2, y1, x2, y2, x1, y2]]}],
        "targets": [{"text": "thing", "object_ids": [1]}],
    }
    (root / "train.jsonl").write_text(json.dumps(line), encoding="utf-8")
    return root / "a.jpg"


ON_THE_TURNED_IMAGE = [
    labelme,
    cvat,
    roboflow,
    fiftyone,
    label_studio,
    cvat_coco,
    renamed_label_studio,
    renamed_cvat,
    jsonl,
]


def prepared_sample(root: Path, out: Path) -> tuple[Obj, np.ndarray]:
    """The object of the only sample, and its pixels, both from shards."""
    prepare(root, out, PrepareConfig())
    [[sample]] = ShardReader(out / "train")
    [obj] = sample.objects
    return obj, read_pixels(sample.image)


def assert_mask_lies_on_the_object(obj: Obj, pixels: np.ndarray) -> None:
    assert obj.mask
    assert masks.area(obj.mask) == (X2 - X1) * (Y2 - Y1)
    assert abs(pixels[masks.decode(obj.mask)].mean(axis=0) - RED).max() < 6


@pytest.mark.parametrize("size", [(40, 60), (48, 48)], ids=["oblong", "square"])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("annotate", ON_THE_TURNED_IMAGE)
def test_masks_lie_on_what_was_annotated(tmp_path, annotate, orientation, size):
    root, out = tmp_path / "data", tmp_path / "shards"
    root.mkdir()
    photograph(annotate(root, size), size=size, orientation=orientation)

    obj, pixels = prepared_sample(root, out)

    assert pixels.shape[:2] == size
    assert_mask_lies_on_the_object(obj, pixels)


def stored_box_and_size(orientation: int, size: tuple[int, int]):
    """The object and the (height, width) in the pixels as a camera stores them."""
    seen = np.zeros(size, dtype=np.uint8)
    seen[Y1:Y2, X1:X2] = 1
    image = Image.fromarray(seen)
    if orientation in _UNDO:
        image = image.transpose(_UNDO[orientation])
    return image.getbbox(), image.size[::-1]


def plain_coco(root: Path, size: tuple[int, int], box: tuple[int, int, int, int]) -> Path:
    coco(root / "annotations/instances_train.json", size, box)
    return root / "images/a.jpg"


def jsonl_by_size(root: Path, size: tuple[int, int], box: tuple[int, int, int, int]) -> Path:
    return jsonl(root, size, box, frame="by_size")


@pytest.mark.parametrize("size", [(40, 60), (48, 48)], ids=["oblong", "square"])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("annotate", [plain_coco, jsonl_by_size])
def test_masks_lie_on_what_was_annotated_in_the_stored_image(tmp_path, annotate, orientation, size):
    root, out = tmp_path / "data", tmp_path / "shards"
    root.mkdir()
    box, stored_size = stored_box_and_size(orientation, size)
    path = annotate(root, stored_size, box)
    photograph(path, size=size, orientation=orientation)

    obj, pixels = prepared_sample(root, out)

    assert pixels.shape[:2] == stored_size
    assert_mask_lies_on_the_object(obj, pixels)


@pytest.mark.parametrize("size", [(40, 60), (60, 40), (48, 48)], ids=["wide", "tall", "square"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_masks_lie_on_what_was_annotated_with_label_studio_itself(tmp_path, orientation, size):
    """It stores percent of the image as seen, and exports them as parts of the stored width and height."""
    root, out = tmp_path / "data", tmp_path / "shards"
    root.mkdir()
    _, (height, width) = stored_box_and_size(orientation, size)
    x1, x2 = (x / size[1] * 100 / 100 * width for x in (X1, X2))
    y1, y2 = (y / size[0] * 100 / 100 * height for y in (Y1, Y2))
    info = {"contributor": "Label Studio"}
    coco(root / "result.json", (height, width), (x1, y1, x2, y2), **info)
    photograph(root / "images/a.jpg", size=size, orientation=orientation)

    obj, pixels = prepared_sample(root, out)

    assert pixels.shape[:2] == size
    assert obj.box == (X1, Y1, X2, Y2)
    assert_mask_lies_on_the_object(obj, pixels)
    lines = (out / "quarantine.jsonl").read_text().splitlines()
    assert len(lines) == (height != size[0])
    assert all("is for the image as turned by EXIF" in line for line in lines)


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
@pytest.mark.parametrize("annotate", [plain_coco, jsonl_by_size])
def test_size_of_the_turned_image_means_that_the_tool_turned_it(tmp_path, annotate, orientation):
    root, out = tmp_path / "data", tmp_path / "shards"
    root.mkdir()
    path = annotate(root, (40, 60), (X1, Y1, X2, Y2))
    photograph(path, size=(40, 60), orientation=orientation)

    obj, pixels = prepared_sample(root, out)

    assert_mask_lies_on_the_object(obj, pixels)


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
@pytest.mark.parametrize(
    "annotate", [tool for tool in ON_THE_TURNED_IMAGE if tool is not renamed_label_studio]
)
def test_size_of_the_stored_image_means_that_an_old_tool_did_not_turn_it(
    tmp_path, annotate, orientation
):
    root, out = tmp_path / "data", tmp_path / "shards"
    root.mkdir()
    path = annotate(root, (40, 60))
    photograph(path, size=(40, 60), orientation=1)
    exif = Image.Exif()
    exif[0x0112] = orientation
    with Image.open(path) as image:
        image.save(path, quality=100, subsampling=0, exif=exif)

    obj, pixels = prepared_sample(root, out)

    assert pixels.shape[:2] == (40, 60)
    assert_mask_lies_on_the_object(obj, pixels)
