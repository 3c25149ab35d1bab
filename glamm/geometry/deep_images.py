"""Images with more than 8 bits per channel: what their values mean is told by the file, or by the values alone.

A conversion that is merely likely would make some images black or white without a word, so anything else is refused.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageFile
from PIL.TiffImagePlugin import (
    BITSPERSAMPLE,
    PHOTOMETRIC_INTERPRETATION,
    PLANAR_CONFIGURATION,
    SAMPLEFORMAT,
    TiffImageFile,
)

_MODES_OF_16_BITS = {"I;16", "I;16L", "I;16B", "I;16N"}
_GRAY_MODES = _MODES_OF_16_BITS | {"I", "F"}
_WHITE_OF_16_BITS = (1 << 16) - 1
_RAW_16_BITS = re.compile(";16[BLN]$")  # of Pillow's names for what a file stores, such as RGB;16B
_PLANAR = 2  # of TIFF's tag PlanarConfiguration
_SIGNED = 2  # of TIFF's tag SampleFormat
_MAX_DARKNESS = 16
"""An image whose brightest value is below white / 16 is taken for one of another scale, such as 12 bits in 16."""

_REMEDY = "save it with 8 bits per channel"


class DepthError(ValueError):
    """How bright the values of an image are cannot be told; the message lacks the image's name."""


@dataclass(frozen=True, slots=True)
class Depth:
    """How a file stores its values; to be taken before Pillow decodes them, which forgets it.

    Args:
        white: The value of white if the file states it; None where only the values can tell.
        is_inverted: Whether 0 is white and Pillow does not take care of it.
        is_reduced: Whether Pillow keeps only the high byte of 16 bits.
    """

    white: int | None
    is_inverted: bool
    is_reduced: bool


def read_depth(image: Image.Image) -> Depth:
    """How a file stores its values.

    Raises:
        DepthError: Its values are signed, or stored in a way that Pillow misreads.
    """
    tags: Mapping[int, Any] = image.tag_v2 if isinstance(image, TiffImageFile) else {}
    bits = max(tags.get(BITSPERSAMPLE, (16,)))
    if bits <= 16 and _SIGNED in tags.get(SAMPLEFORMAT, ()):
        raise DepthError(f"has signed values, and nothing tells which one is black: {_REMEDY}")
    if bits > 8 and tags.get(PLANAR_CONFIGURATION) == _PLANAR and image.mode not in _GRAY_MODES:
        # Pillow would read the two bytes of a value as two pixels
        raise DepthError(f"stores its channels of {bits} bits one after the other: {_REMEDY}")
    white = None
    if image.mode in _MODES_OF_16_BITS:
        white = (1 << bits) - 1
    elif image.mode == "I" and image.format == "PPM":
        white = _WHITE_OF_16_BITS  # whatever white the file states, Pillow scales it to this one
    is_gray = image.mode in _GRAY_MODES
    return Depth(
        white=white,
        is_inverted=is_gray and tags.get(PHOTOMETRIC_INTERPRETATION) == 0,
        is_reduced=not is_gray and _stores_16_bits(image),
    )


def is_deep(image: Image.Image) -> bool:
    """Whether an image has one channel of more than 8 bits."""
    return image.mode in _GRAY_MODES


def to_8_bits(image: Image.Image, depth: Depth) -> UInt8[np.ndarray, "height width"]:
    """Convert an image for which `is_deep` holds.

    The values of 16 bits are divided by 257. Whole numbers of 32 bits are read from 0 to 255 or from 0 to 65,535, and
    floats from 0 to 1 or from 0 to 255, whichever range holds the brightest value and does not make it black.

    Raises:
        DepthError: The values fit none of these ranges.
    """
    values = np.asarray(image)
    low, high = float(values.min()), float(values.max())
    white = depth.white or _guess_white(high, is_float=image.mode == "F")
    if not (0 <= low <= high <= white):  # also for values that are no number
        raise DepthError(
            f"has values from {low:g} to {high:g}, and nothing tells which ones are black and white: {_REMEDY}"
        )
    scaled = values.astype(np.float32)  # holds 16 bits exactly, in half the memory of float64
    if depth.is_inverted:
        scaled, high = white - scaled, white - low
    _check_brightness(high, white)
    scaled *= 255 / white
    return np.rint(scaled, out=scaled).astype(np.uint8)


def check_reduced(pixels: UInt8[np.ndarray, "..."], depth: Depth) -> None:
    """Check pixels that Pillow has reduced to 8 bits.

    Raises:
        DepthError: They have become black.
    """
    if depth.is_reduced:
        _check_brightness(pixels.max() * 257.0, _WHITE_OF_16_BITS)


def _stores_16_bits(image: Image.Image) -> bool:
    """Whether the channels of a file that is not yet decoded have more than 8 bits."""
    if not isinstance(image, ImageFile.ImageFile):
        return False
    for tile in image.tile:
        arguments = tile.args if isinstance(tile.args, tuple) else (tile.args,)
        if any(isinstance(value, str) and _RAW_16_BITS.search(value) for value in arguments):
            return True
        white = arguments[-1]
        if tile.codec_name.startswith("ppm") and isinstance(white, int) and white > 255:
            return True
    return False


def _guess_white(high: float, *, is_float: bool) -> int:
    if is_float:
        return 1 if high <= 1 else 255
    return 255 if high <= 255 else _WHITE_OF_16_BITS


def _check_brightness(high: float, white: int) -> None:
    if high * _MAX_DARKNESS < white:
        raise DepthError(
            f"would be black: its brightest value is {high:g} if {white} is white; {_REMEDY}"
        )
