"""From whatever image a person sends to RGB pixels, or one sentence that says why not."""

import io
import struct
from pathlib import Path
from typing import TypeAlias

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

from glamm.errors import RequestError

Pixels: TypeAlias = UInt8[np.ndarray, "height width 3"]
ImageSource: TypeAlias = Path | str | bytes | Image.Image | np.ndarray
"""A file, the content of one, or an image in memory."""

MAX_PIXELS = 50_000_000
"""Larger images are refused by their header: a few bytes can claim any number of pixels."""

MAX_ASPECT_RATIO = 100
"""Longest side by shortest. A centre crop first enlarges the shortest side: a line of pixels would fill the memory."""

_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "AVIF")
_READABLE = "JPEG, PNG, WebP, AVIF, GIF, BMP, TIFF or PPM"
# What Pillow's decoders raise for damaged files: TypeError comes from TIFF, RuntimeError from AVIF.
_UNREADABLE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    OverflowError,
    struct.error,
    TypeError,
    RuntimeError,
)
_DEEP_MODES = ("I", "I;16", "I;16L", "I;16B", "I;16N")


def read_image(source: ImageSource) -> Pixels:
    """Read an image the way a person sees it.

    Turns it as EXIF says, drops alpha, repeats grey, keeps the high byte of 16 bits, takes the first frame.

    Args:
        source: A path, the bytes of a file, a PIL image, or RGB as uint8 (height, width, 3).

    Returns:
        RGB.

    Raises:
        RequestError: It is no image, it is damaged, or it is larger than MAX_PIXELS.
    """
    if isinstance(source, np.ndarray):
        return _checked_pixels(source)
    if isinstance(source, Image.Image):
        return _to_rgb(source, name="the image")
    if isinstance(source, bytes):
        return _decode(source, name="the file")
    path = Path(source)
    try:
        content = path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        reason = error.strerror if isinstance(error, OSError) else error
        raise RequestError(f"{path} cannot be read ({reason})") from error
    return _decode(content, name=str(path))


def _decode(content: bytes, *, name: str) -> Pixels:
    if not content:
        raise RequestError(f"{name} is empty (0 bytes); send an image ({_READABLE})")
    Image.init()  # only the first call does anything
    try:
        image = Image.open(io.BytesIO(content), formats=_FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise RequestError(
            f"{name} claims too many pixels, at most {MAX_PIXELS:,} are read ({error})"
        ) from error
    except _UNREADABLE as error:
        raise RequestError(f"{name} is no image that can be read ({_READABLE})") from error
    return _to_rgb(image, name=name)


def _to_rgb(image: Image.Image, *, name: str) -> Pixels:
    _check_size(image.height, image.width, name=name)
    try:
        upright = ImageOps.exif_transpose(image)
        if upright.mode in _DEEP_MODES:
            deep = np.asarray(upright)
            upright = Image.fromarray((deep.clip(0, 65535) >> 8).astype(np.uint8))
        return np.array(upright.convert("RGB"))
    except _UNREADABLE as error:
        raise RequestError(
            f"{name} is damaged, or of a kind that cannot be shown as RGB ({error})"
        ) from error


def _check_size(height: int, width: int, *, name: str) -> None:
    if height * width > MAX_PIXELS:
        raise RequestError(
            f"{name} has {width} x {height} = {width * height:,} pixels, at most {MAX_PIXELS:,} are read: make it smaller"
        )
    if max(height, width) > MAX_ASPECT_RATIO * min(height, width):
        raise RequestError(
            f"{name} is {width} x {height} pixels; one side may be at most {MAX_ASPECT_RATIO} times the other: crop it"
        )


def _checked_pixels(pixels: np.ndarray) -> Pixels:
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or pixels.size == 0:
        raise RequestError(
            f"an image in memory must be uint8 of shape (height, width, 3) in RGB, this is {pixels.dtype} of shape {pixels.shape}"
        )
    _check_size(pixels.shape[0], pixels.shape[1], name="the image")
    return pixels
