import base64
import json

import pytest

from glamm.data.parsing.image_refs import SizedImage, find_image, read_encoded
from glamm.data.parsing.layout import parse
from glamm.errors import DataError
from glamm.structures.sample import Frame, ImageRef
from tests.builders.data import SIZE, jpeg

TURNED = (SIZE[1], SIZE[0])
ROTATE_90 = 6  # EXIF orientation


@pytest.fixture
def root(tmp_path):
    (tmp_path / "plain.jpg").write_bytes(jpeg())
    (tmp_path / "turned.jpg").write_bytes(jpeg(orientation=ROTATE_90))
    (tmp_path / "text.jpg").write_text("no image")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "frame", "stated", "size"),
    [
        ("plain.jpg", Frame.BY_SIZE, None, SIZE),
        ("plain.jpg", Frame.BY_SIZE, SIZE, SIZE),
        ("turned.jpg", Frame.BY_SIZE, None, SIZE),
        ("turned.jpg", Frame.BY_SIZE, SIZE, SIZE),
        ("turned.jpg", Frame.BY_SIZE, TURNED, TURNED),
        ("turned.jpg", Frame.TURNED, None, TURNED),
        ("turned.jpg", Frame.TURNED, TURNED, TURNED),
        ("turned.jpg", Frame.STORED, None, SIZE),
        ("turned.jpg", Frame.STORED, SIZE, SIZE),
    ],
    ids=str,
)
def test_image_has_the_size_of_its_annotations(root, name, frame, stated, size):
    image_ref = find_image(root, ["."], name, size=stated, frame=frame)

    assert (image_ref.key, image_ref.size, image_ref.frame) == (name, size, frame)


def test_image_of_another_size_is_an_error(root):
    with pytest.raises(
        DataError,
        match=r"^field height, width: are stated as 32 x 24 \(height x width\), the image is 24 x 32$",
    ):
        find_image(root, ["."], "plain.jpg", size=TURNED, frame=Frame.BY_SIZE)


def test_file_that_is_no_image_is_an_error(root):
    with pytest.raises(DataError, match=r"^field file_name: .* no image that can be read"):
        find_image(root, ["."], "text.jpg", frame=Frame.BY_SIZE)


@pytest.mark.parametrize(
    ("record", "size"),
    [({}, None), ({"height": 2, "width": 3}, (2, 3))],
    ids=["unstated", "stated"],
)
def test_stated_size_is_height_and_width(record, size):
    assert parse(SizedImage, record).size == size


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"height": 2}, "height, width: is missing"),
        (
            {"height": 2, "width": 0},
            r"height, width: must be height and width in pixels, is \[2, 0\]",
        ),
        ({"height": 2, "width": 1 << 20}, "height, width: must be height and width in pixels"),
        ({"height": 2, "width": "wide"}, "width: must be a whole number, is text"),
    ],
    ids=["half", "zero", "huge", "text"],
)
def test_stated_size_that_is_no_size_is_an_error(record, message):
    with pytest.raises(DataError, match=f"^field {message}"):
        _ = parse(SizedImage, record).size


def test_bytes_of_an_image_come_from_its_file_or_from_the_label_file(tmp_path):
    (tmp_path / "a.jpg").write_bytes(jpeg())
    text = base64.b64encode(jpeg()).decode()
    (tmp_path / "a.json").write_text(json.dumps({"imageData": text}))

    for name in ("a.jpg", "a.json"):
        assert read_encoded(ImageRef(name, SIZE, path=str(tmp_path / name))) == jpeg()
