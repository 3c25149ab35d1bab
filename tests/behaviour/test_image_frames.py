"""Masks lie on their objects, however the camera was held: in the samples and in the shards."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from glamm.config.data import PrepareConfig
from glamm.data.preparation.prepare import prepare
from glamm.data.shards.reader import ShardReader, read_pixels
from glamm.geometry import masks

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


@pytest.mark.parametrize("size", [(40, 60), (48, 48)], ids=["oblong", "square"])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("annotate", [labelme, cvat])
def test_masks_lie_on_what_was_annotated(tmp_path, annotate, orientation, size):
    root, out = tmp_path / "data", tmp_path / "shards"
    root.mkdir()
    photograph(annotate(root, size), size=size, orientation=orientation)

    prepare(root, out, PrepareConfig())

    [[sample]] = ShardReader(out / "train")
    [obj] = sample.objects
    pixels = read_pixels(sample.image)
    assert pixels.shape[:2] == size
    assert masks.area(obj.mask) == (X2 - X1) * (Y2 - Y1)
    assert abs(pixels[masks.decode(obj.mask)].mean(axis=0) - RED).max() < 6


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
@pytest.mark.parametrize("annotate", [labelme, cvat])
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

    prepare(root, out, PrepareConfig())

    [[sample]] = ShardReader(out / "train")
    [obj] = sample.objects
    pixels = read_pixels(sample.image)
    assert pixels.shape[:2] == (40, 60)
    assert abs(pixels[masks.decode(obj.mask)].mean(axis=0) - RED).max() < 6
