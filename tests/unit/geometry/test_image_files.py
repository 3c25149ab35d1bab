import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from glamm.geometry.image_files import decode, open_image, read_header
from glamm.structures.sample import Frame
from tests.builders.data import jpeg

QUADRANTS = np.kron(
    np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 0]]], dtype=np.uint8),
    np.ones((8, 12, 1), dtype=np.uint8),
)


def encoded(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def turned(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(
        Image.fromarray(QUADRANTS), "JPEG", quality=100, subsampling=0, exif=exif.tobytes()
    )


ORIENTED = {
    1: QUADRANTS,
    2: QUADRANTS[:, ::-1],
    3: QUADRANTS[::-1, ::-1],
    4: QUADRANTS[::-1],
    5: QUADRANTS.transpose(1, 0, 2),
    6: np.rot90(QUADRANTS, k=-1),
    7: QUADRANTS[::-1, ::-1].transpose(1, 0, 2),
    8: np.rot90(QUADRANTS),
}
"""What EXIF orientations mean."""


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turned_frame_has_the_pixels_as_exif_turns_them(orientation):
    expected = ORIENTED[orientation]

    pixels = decode(turned(orientation), size=expected.shape[:2], frame=Frame.TURNED)

    assert abs(pixels.astype(int) - expected).max() < 8


@pytest.mark.parametrize("orientation", range(1, 9))
def test_stored_frame_has_the_pixels_as_they_are(orientation):
    pixels = decode(turned(orientation), size=(16, 24), frame=Frame.STORED)

    assert abs(pixels.astype(int) - QUADRANTS).max() < 8


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
@pytest.mark.parametrize("frame", [Frame.TURNED, Frame.BY_SIZE])
def test_size_tells_the_frame_of_a_quarter_turn(orientation, frame):
    stored = decode(turned(orientation), size=(16, 24), frame=frame)
    upright = decode(turned(orientation), size=(24, 16), frame=frame)

    assert abs(stored.astype(int) - QUADRANTS).max() < 8
    assert abs(upright.astype(int) - ORIENTED[orientation]).max() < 8


@pytest.mark.parametrize("side", ["stored", "turned"])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
def test_every_format_that_has_exif_is_turned_by_it(tmp_path, kind, orientation, side):
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(Image.fromarray(QUADRANTS), kind, exif=exif.tobytes())
    (tmp_path / "image").write_bytes(content)
    expected = ORIENTED[orientation] if side == "turned" else QUADRANTS

    header = read_header(tmp_path / "image")
    pixels = decode(content, size=expected.shape[:2], frame=Frame(side))

    assert (header.size, header.upright_size) == ((16, 24), ORIENTED[orientation].shape[:2])
    assert np.median(abs(pixels.astype(int) - expected)) < 8


@pytest.mark.parametrize(
    ("size", "frame"),
    [((10, 10), Frame.TURNED), ((24, 16), Frame.STORED), ((10, 10), Frame.BY_SIZE)],
    ids=["turned", "stored", "by size"],
)
def test_size_of_another_frame_is_refused(size, frame):
    with pytest.raises(ValueError, match="the image is 16 x 24 "):
        decode(turned(6), size=size, frame=frame)


def test_image_of_another_size_is_refused():
    with pytest.raises(
        ValueError, match=r"the image is 16 x 24 .*, the annotations are for 10 x 10"
    ):
        decode(turned(1), size=(10, 10), frame=Frame.BY_SIZE)


def test_alpha_is_dropped_and_gray_repeated():
    alpha = np.dstack([QUADRANTS, np.zeros(QUADRANTS.shape[:2], np.uint8)])
    gray = np.arange(16 * 24, dtype=np.uint8).reshape(16, 24)
    deep = gray.astype(np.uint16) * 257

    assert (
        decode(encoded(Image.fromarray(alpha), "PNG"), size=(16, 24), frame=Frame.BY_SIZE)
        == QUADRANTS
    ).all()
    assert (
        decode(encoded(Image.fromarray(gray), "PNG"), size=(16, 24), frame=Frame.BY_SIZE)
        == gray[:, :, None]
    ).all()
    assert (
        decode(encoded(Image.fromarray(deep), "PNG"), size=(16, 24), frame=Frame.BY_SIZE)
        == gray[:, :, None]
    ).all()


@pytest.mark.parametrize("part", [0, 0.1, 0.5, 0.95], ids="{:.0%}".format)
def test_cut_image_is_refused(part):
    data = jpeg((64, 64))

    with pytest.raises(ValueError, match=r"cannot be decoded|no image"):
        decode(data[: int(part * len(data))], size=(64, 64), frame=Frame.BY_SIZE)


def test_claim_of_too_many_pixels_is_refused_by_the_header(tmp_path):
    def chunk(name, body):
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    for side in (10_000, 60_000):
        path = tmp_path / f"{side}.png"
        header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
        path.write_bytes(
            b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b""))
        )

        with pytest.raises(ValueError, match="at most 50,000,000 are read"):
            read_header(path)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF", "PPM"])
def test_every_format_of_the_service_can_be_trained(tmp_path, kind):
    content = encoded(Image.fromarray(QUADRANTS), kind)
    (tmp_path / "image").write_bytes(content)

    assert read_header(tmp_path / "image").size == (16, 24)
    assert decode(content, size=(16, 24), frame=Frame.BY_SIZE)[4, 4].tolist() == pytest.approx(
        [255, 0, 0], abs=40
    )


def test_format_outside_the_policy_is_refused():
    with pytest.raises(ValueError, match="no image that can be read"):
        decode(
            encoded(Image.fromarray(QUADRANTS), "ICO", sizes=[(24, 16)]),
            size=(16, 24),
            frame=Frame.BY_SIZE,
        )


def test_very_long_image_is_refused():
    with pytest.raises(ValueError, match="at most 100 times the other"):
        decode(encoded(Image.new("RGB", (404, 4)), "PNG"), size=(4, 404), frame=Frame.BY_SIZE)


@pytest.mark.parametrize(
    "content", [b"", b"not an image", b"\xff\xd8\xff"], ids=["empty", "text", "three bytes"]
)
def test_file_that_is_no_image_is_refused(tmp_path, content):
    path = tmp_path / "x.jpg"
    path.write_bytes(content)

    with pytest.raises(ValueError, match="no image"):
        read_header(path)


def test_header_names_the_format(tmp_path):
    path = tmp_path / "x.jpg"
    path.write_bytes(encoded(Image.fromarray(QUADRANTS), "PNG"))

    assert read_header(path).pixel_format == "png_named_jpg"
    assert read_header(path).size == (16, 24)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1heic", "HEIC"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1", "git lfs pull"),
        (b"<!DOCTYPE html><html>404", "HTML"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"%PDF-1.7", "a PDF"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
    ],
    ids=["iphone", "heif", "pointer", "page", "svg", "pdf", "jpeg2000"],
)
def test_message_says_what_a_file_is_instead_of_an_image(content, what):
    with pytest.raises(ValueError, match=f"no image that can be read, but .*{what}.*JPEG, PNG"):
        open_image(io.BytesIO(content))
