import io
import struct

import cv2
import numpy as np
import pytest
from PIL import Image

from glamm.geometry.image_files import decode, open_image
from glamm.inference.image_io import RequestError, read_image
from glamm.structures.sample import Frame

GRAY = np.arange(40, 232, 2, dtype=np.uint8).reshape(8, 12)
COLOR = np.dstack([GRAY, GRAY[::-1], GRAY[:, ::-1]])
SIXTEEN = GRAY.astype(np.uint16) * 257


def encoded(pixels, kind, **options):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def encoded_by_opencv(pixels, suffix):
    is_encoded, content = cv2.imencode(suffix, pixels)
    assert is_encoded
    return content.tobytes()


def with_tag(tiff, tag, old, new):
    """A little-endian TIFF in which a short has another value."""
    entry = struct.pack("<HHI", tag, 3, 1)
    assert entry + struct.pack("<H", old) in tiff
    return tiff.replace(entry + struct.pack("<H", old), entry + struct.pack("<H", new))


def pgm(values, white):
    height, width = values.shape
    return f"P5\n{width} {height}\n{white}\n".encode() + values.astype(">u2").tobytes()


def packed_12_bits(gray):
    """A TIFF with two values in three bytes."""
    values = gray.astype(int) * 4095 // 255
    first, second = values.ravel()[::2], values.ravel()[1::2]
    packed = np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], axis=1)
    data = packed.astype(np.uint8).tobytes().ljust(gray.size * 2, b"\0")
    tiff = encoded(np.frombuffer(data, np.uint16).reshape(gray.shape), "TIFF")
    return with_tag(tiff, 258, old=16, new=12)


def big_endian_tiff(values):
    image = Image.frombytes("I;16B", values.shape[::-1], values.astype(">u2").tobytes())
    file = io.BytesIO()
    image.save(file, "TIFF")
    return file.getvalue()


DEEP_FILES = {
    "16-bit PNG": encoded(SIXTEEN, "PNG"),
    "16-bit TIFF": encoded(SIXTEEN, "TIFF"),
    "16-bit TIFF, compressed": encoded(SIXTEEN, "TIFF", compression="tiff_lzw"),
    "16-bit TIFF, big-endian": big_endian_tiff(SIXTEEN),
    "16-bit TIFF, white is 0": with_tag(encoded(65535 - SIXTEEN, "TIFF"), 262, old=1, new=0),
    "12-bit TIFF": packed_12_bits(GRAY),
    "16-bit PGM": pgm(SIXTEEN, 65535),
    "PGM with white 1020": pgm(GRAY.astype(int) * 4, 1020),
    "int32 to 65535": encoded(SIXTEEN.astype(np.int32), "TIFF"),
    "int32 to 255": encoded(GRAY.astype(np.int32), "TIFF"),
    "float to 1": encoded(GRAY.astype(np.float32) / 255, "TIFF"),
    "float to 255": encoded(GRAY.astype(np.float32), "TIFF"),
}


@pytest.mark.parametrize("content", DEEP_FILES.values(), ids=DEEP_FILES)
def test_deep_gray_has_the_pixels_of_its_8_bit_twin(content):
    pixels = read_image(content)

    assert abs(pixels.astype(int) - GRAY[..., None]).max() <= 1
    assert (pixels == decode(content, size=GRAY.shape, frame=Frame.STORED)).all()


@pytest.mark.parametrize(
    ("suffix", "has_alpha"),
    [(".png", False), (".png", True), (".tif", False), (".tif", True), (".ppm", False)],
    ids=["png", "png with alpha", "tif", "tif with alpha", "ppm"],
)
def test_deep_color_has_the_pixels_of_its_8_bit_twin(suffix, has_alpha):
    deep = COLOR[..., ::-1].astype(np.uint16) * 257
    if has_alpha:
        deep = np.dstack([deep, np.full(GRAY.shape, 30_000, np.uint16)])
    content = encoded_by_opencv(deep, suffix)

    pixels = read_image(content)

    assert abs(pixels.astype(int) - COLOR).max() <= 1
    assert (pixels == decode(content, size=GRAY.shape, frame=Frame.STORED)).all()


ZERO_TO_255 = GRAY.astype(np.uint16)
UNCLEAR_FILES = {
    "16 bits to 255": (encoded(ZERO_TO_255, "PNG"), "would be black: its brightest value is 230"),
    "16 bits to 4095": (encoded(ZERO_TO_255 * 16, "PNG"), "would be black"),
    "16 bits to 4095, in color": (
        encoded_by_opencv(np.dstack([ZERO_TO_255 * 16] * 3), ".png"),
        "would be black",
    ),
    "16 bits to 4095, PPM": (
        encoded_by_opencv(np.dstack([ZERO_TO_255 * 16] * 3), ".ppm"),
        "would be black",
    ),
    "int32 to 1000": (encoded(GRAY.astype(np.int32) * 4, "TIFF"), "would be black"),
    "int32 of class numbers": (encoded(GRAY.astype(np.int32) // 20, "TIFF"), "would be black"),
    "int32 to 70000": (encoded(SIXTEEN.astype(np.int32) * 2, "TIFF"), "from 20560 to 118220"),
    "negative int32": (encoded(GRAY.astype(np.int32) - 128, "TIFF"), "from -88 to 102"),
    "signed 16 bits": (encoded(SIXTEEN, "TIFF", tiffinfo={339: 2}), "has signed values"),
    "16 bits by channel": (
        with_tag(encoded_by_opencv(np.dstack([SIXTEEN] * 3), ".tif"), 284, old=1, new=2),
        "stores its channels of 16 bits one after the other",
    ),
    "signed 8 bits": (encoded(GRAY, "TIFF", tiffinfo={339: 2}), "has signed values"),
    "float to 2": (encoded(GRAY.astype(np.float32) / 115, "TIFF"), "would be black"),
    "float to 65535": (encoded(SIXTEEN.astype(np.float32), "TIFF"), "from 10280 to 59110"),
    "negative float": (encoded(GRAY.astype(np.float32) / 128 - 1, "TIFF"), "nothing tells"),
    "not a number": (encoded(np.full((8, 12), np.nan, np.float32), "TIFF"), "from nan to nan"),
    "infinite": (encoded(np.full((8, 12), np.inf, np.float32), "TIFF"), "nothing tells"),
}


@pytest.mark.parametrize(("content", "message"), UNCLEAR_FILES.values(), ids=UNCLEAR_FILES)
def test_values_of_unknown_brightness_are_refused_in_training_and_inference(content, message):
    with pytest.raises(RequestError, match=rf"^the file .*{message}.* 8 bits per channel$"):
        read_image(content)
    with pytest.raises(ValueError, match=rf"^the image .*{message}.* 8 bits per channel$"):
        decode(content, size=GRAY.shape, frame=Frame.STORED)


@pytest.mark.parametrize(
    "content",
    [
        encoded_by_opencv(GRAY.astype(np.float64), ".tif"),
        encoded_by_opencv(np.dstack([GRAY] * 3).astype(np.float32), ".tif"),
    ],
    ids=["float64", "float color"],
)
def test_kind_of_tiff_that_pillow_does_not_know_is_refused_with_the_remedy(content):
    with pytest.raises(RequestError, match=r"the file is no image .* save it with 8 bits per chan"):
        read_image(content)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("PNG", SIXTEEN),
        ("TIFF", SIXTEEN),
        ("TIFF", GRAY.astype(np.int32)),
        ("TIFF", GRAY.astype(np.float32)),
    ],
    ids=["16-bit PNG", "16-bit TIFF", "int32", "float"],
)
def test_deep_image_is_turned_as_its_8_bit_twin(values, kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation

    deep = read_image(encoded(values, kind, exif=exif))

    assert (deep == read_image(encoded(GRAY, "PNG", exif=exif))).all()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
def test_8_bits_may_be_dark(mode):
    content = io.BytesIO()
    Image.new(mode, (4, 4)).save(content, "TIFF")

    assert (read_image(content.getvalue()) == 255 * (mode == "CMYK")).all()


def test_image_in_memory_is_converted_as_a_file():
    assert (read_image(Image.fromarray(SIXTEEN)) == GRAY[..., None]).all()
    with pytest.raises(RequestError, match="would be black"):
        read_image(Image.fromarray(ZERO_TO_255))


@pytest.mark.parametrize("kind", ["TIFF", "GIF"])
def test_first_of_several_frames_is_read(kind):
    file = io.BytesIO()
    Image.fromarray(GRAY).save(
        file, kind, save_all=True, append_images=[Image.fromarray(255 - GRAY)]
    )

    assert (read_image(file.getvalue()) == GRAY[..., None]).all()
    assert open_image(io.BytesIO(file.getvalue())).n_frames == 2
