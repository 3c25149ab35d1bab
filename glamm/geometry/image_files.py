"""Images as bytes, as a header and as pixels in the frame that the annotations use."""

import io
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

from glamm.typing import Size

MAX_PIXELS = 80_000_000
"""Larger images are refused by their header: nobody photographs them, and a few bytes can claim them."""

_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF")
_ORIENTATION_TAG = 0x0112
_QUARTER_TURNS = {5, 6, 7, 8}  # EXIF orientations that swap height and width
_UNREADABLE = (OSError, UnidentifiedImageError, SyntaxError, ValueError, EOFError)


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """What an image's first bytes say.

    Args:
        size: (height, width) of the stored pixels.
        orientation: EXIF orientation, 1 when upright or not said.
        pixel_format: "gray", "png_alpha", "png_named_jpg" or another name where it is not plain RGB.
    """

    size: Size
    orientation: int
    pixel_format: str | None

    @property
    def turned_size(self) -> Size:
        """(height, width) after the turn that EXIF asks for."""
        height, width = self.size
        return (width, height) if self.orientation in _QUARTER_TURNS else self.size

    def has_frame(self, size: Size) -> bool:
        """Whether the image has this (height, width), as stored or as turned."""
        return size in {self.size, self.turned_size}


def read_header(path: Path) -> ImageHeader:
    """Look at an image without decoding it.

    Raises:
        ValueError: It is no image, or claims more than MAX_PIXELS.
    """
    try:
        with path.open("rb") as file:
            return _header(_open(file), suffix=path.suffix.lower())
    except FileNotFoundError as error:
        raise ValueError("the image is missing") from error


def decode(data: bytes, *, size: Size) -> UInt8[np.ndarray, "height width 3"]:
    """Decode an image in the frame of its annotations.

    Args:
        data: The encoded image.
        size: (height, width) that the annotations state. Where the stored pixels have it they are taken as stored;
            where only the pixels turned by EXIF have it, they are turned.

    Returns:
        RGB; alpha is dropped, not blended, and gray is repeated.

    Raises:
        ValueError: The image cannot be decoded or has another size.

    Upstream: the release turns pixels by EXIF and leaves masks alone.
    """
    image = _open(io.BytesIO(data))
    header = _header(image, suffix="")
    if not header.has_frame(size):
        raise ValueError(
            f"the image is {_shown(header.size)}, the annotations are for {_shown(size)}"
        )
    try:
        if header.size != size:
            image = ImageOps.exif_transpose(image)
        if image.mode.startswith("I;16"):
            image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
        return np.array(image.convert("RGB"))
    except _UNREADABLE as error:
        raise ValueError(f"the image cannot be decoded: {error}") from error


def _open(file: io.BufferedReader | io.BytesIO) -> Image.Image:
    Image.init()  # only the first call does anything
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(file, formats=_FORMATS)
    except Image.DecompressionBombError as error:
        raise ValueError(f"the image claims too many pixels: {error}") from error
    except _UNREADABLE as error:
        raise ValueError(
            "the file is no image that can be read (JPEG, PNG, WebP, BMP, TIFF)"
        ) from error
    if image.width * image.height > MAX_PIXELS:
        raise ValueError(
            f"the image claims {image.width} x {image.height} pixels, at most {MAX_PIXELS:,} are read"
        )
    return image


def _header(image: Image.Image, *, suffix: str) -> ImageHeader:
    try:
        orientation = int(image.getexif().get(_ORIENTATION_TAG, 1))
    except _UNREADABLE:
        orientation = 1
    return ImageHeader((image.height, image.width), orientation, _pixel_format(image, suffix))


def _pixel_format(image: Image.Image, suffix: str) -> str | None:
    if image.format == "PNG" and suffix in {".jpg", ".jpeg"}:
        return "png_named_jpg"
    if image.mode in {"RGBA", "LA", "PA"} or "transparency" in image.info:
        return "png_alpha"
    if image.mode == "L":
        return "gray"
    return None if image.mode == "RGB" else image.mode.lower()


def _shown(size: Size) -> str:
    return f"{size[0]} x {size[1]} (height x width)"
