import io
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from glamm.errors import RequestError
from glamm.inference.image_io import read_image

RED_LEFT = np.zeros((40, 60, 3), dtype=np.uint8)
RED_LEFT[:, :30] = (200, 0, 0)


def encode(image: Image.Image, kind: str, **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        ("JPEG", "RGB"), ("JPEG", "CMYK"), ("PNG", "RGB"), ("PNG", "RGBA"), ("PNG", "P"), ("WEBP", "RGBA"),
        ("BMP", "RGB"), ("GIF", "P"), ("TIFF", "RGB"), ("TIFF", "CMYK"), ("PPM", "RGB"), ("AVIF", "RGB"),
    ],
)  # fmt: skip
def test_image_of_every_kind_is_read_as_rgb(kind, mode):
    pixels = read_image(encode(Image.fromarray(RED_LEFT).convert(mode), kind))

    assert pixels.shape == (40, 60, 3)
    assert np.abs(pixels[20, 10].astype(int) - (200, 0, 0)).max() < 30
    assert pixels[20, 50].max() < 30


@pytest.mark.parametrize(
    ("kind", "mode"), [("PNG", "L"), ("PNG", "LA"), ("PNG", "1"), ("JPEG", "L")]
)
def test_gray_image_has_equal_channels(kind, mode):
    pixels = read_image(encode(Image.fromarray(RED_LEFT).convert(mode), kind))

    assert (pixels == pixels[..., :1]).all()


def test_alpha_is_dropped_and_not_blended():
    clear = np.concatenate([RED_LEFT, np.zeros((40, 60, 1), np.uint8)], axis=2)

    assert (read_image(encode(Image.fromarray(clear, "RGBA"), "PNG")) == RED_LEFT).all()


def test_image_is_turned_as_exif_says():
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned by a quarter

    pixels = read_image(encode(Image.fromarray(RED_LEFT), "PNG", exif=exif))

    assert pixels.shape == (60, 40, 3)
    assert tuple(pixels[0, 0]) == (200, 0, 0)
    assert tuple(pixels[-1, 0]) == (0, 0, 0)


def test_first_frame_of_an_animation_is_taken():
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "blue")]

    pixels = read_image(encode(frames[0], "GIF", save_all=True, append_images=frames[1:]))

    assert tuple(pixels[0, 0]) == (255, 0, 0)


@pytest.mark.parametrize(
    "wrap",
    [
        pytest.param(lambda path: path, id="path"),
        pytest.param(str, id="text"),
        pytest.param(lambda path: path.read_bytes(), id="bytes"),
        pytest.param(lambda path: bytearray(path.read_bytes()), id="bytearray"),
        pytest.param(lambda path: memoryview(path.read_bytes()), id="memoryview"),
        pytest.param(lambda path: io.BytesIO(path.read_bytes()), id="stream"),
        pytest.param(Image.open, id="pil"),
    ],
)
def test_every_source_gives_the_same_pixels(tmp_path, wrap):
    path = tmp_path / "a.png"
    Image.fromarray(RED_LEFT).save(path)

    assert (read_image(wrap(path)) == RED_LEFT).all()


def test_pixels_in_memory_are_returned_unchanged():
    assert read_image(RED_LEFT) is RED_LEFT


@pytest.mark.parametrize(
    "pixels",
    [np.zeros((4, 4)), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3), np.float32), np.zeros((0, 4, 3), np.uint8)],
    ids=["gray", "rgba", "float", "empty"],
)  # fmt: skip
def test_pixels_of_another_form_are_refused(pixels):
    with pytest.raises(RequestError, match="must be uint8 of shape"):
        read_image(pixels)


def test_text_stream_is_refused():
    with pytest.raises(RequestError, match=r"opened for reading bytes.*this is StringIO"):
        read_image(io.StringIO("text"))


@pytest.mark.parametrize(
    "address",
    ["https://example.org/a.jpg", "s3://bucket/a.jpg", "data:image/png;base64,iVBORw0KGgo="],
    ids=["web", "bucket", "data"],
)
def test_address_is_not_taken_for_a_path(address):
    with pytest.raises(RequestError, match="is an address, not a file: download the image"):
        read_image(address)


def test_palette_with_partly_transparent_colors_is_read_without_alpha():
    palette = Image.fromarray(RED_LEFT).convert("P")

    pixels = read_image(encode(palette, "PNG", transparency=bytes(range(256))))

    assert (pixels == np.asarray(palette.convert("RGB"))).all()


@pytest.mark.parametrize(
    ("name", "reason"),
    [("none.png", "No such file"), (".", "Is a directory"), ("a\0b.png", "cannot be read")],
    ids=["missing", "folder", "zero byte"],
)
def test_path_that_cannot_be_read_is_in_the_message(tmp_path, name, reason):
    with pytest.raises(RequestError, match=reason):
        read_image(f"{tmp_path}/{name}")


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ((8000, 8000), "the image has 8000 x 8000 = 64,000,000 pixels, at most 50,000,000"),
        ((404, 4), "the image is 404 x 4 pixels; one side may be at most 100 times the other"),
    ],
    ids=["too-large", "too-long"],
)
@pytest.mark.parametrize(
    "wrap",
    [lambda image: image, lambda image: np.asarray(image.convert("RGB"))],
    ids=["pil", "array"],
)
def test_image_outside_the_limits_is_refused_with_both_numbers(size, message, wrap):
    image = wrap(Image.new("1", size))

    with pytest.raises(RequestError, match=message):
        read_image(image)


def test_errors_of_a_file_begin_with_its_path(tmp_path):
    (tmp_path / "a.png").write_bytes(b"text")

    with pytest.raises(RequestError, match=r"a\.png is no image that can be read \(JPEG"):
        read_image(tmp_path / "a.png")


@pytest.mark.filterwarnings("ignore")  # Pillow warns of damaged files before it gives up
@given(
    kind=st.sampled_from(["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "AVIF"]),
    seed=st.integers(0, 10_000),
)
def test_damaged_image_is_read_or_refused_and_nothing_else(kind, seed):
    chance = random.Random(seed)  # noqa: S311 - not for secrets
    content = bytearray(encode(Image.fromarray(RED_LEFT), kind))
    for _ in range(chance.randint(1, 6)):
        content[chance.randrange(min(len(content), 400))] = chance.randrange(256)
    if chance.random() < 0.3:
        del content[chance.randrange(len(content)) :]

    try:
        pixels = read_image(bytes(content))
    except RequestError:
        return
    assert pixels.shape[2] == 3
