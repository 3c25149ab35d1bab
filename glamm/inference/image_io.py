"""Images of a request: from a file, bytes, a PIL image or an array to upright RGB."""

import io
from pathlib import Path
from typing import TypeAlias

import numpy as np
from PIL import Image

from glamm.errors import RequestError
from glamm.geometry.image_files import FORMAT_NAMES, POLICY, Pixels, open_image, upright_rgb

ImageSource: TypeAlias = Path | str | bytes | Image.Image | np.ndarray
"""A path, the content of a file, or an image in memory."""


def read_image(source: ImageSource) -> Pixels:
    """Read an image upright, as a viewer displays it.

    Turns it as EXIF asks, drops alpha, repeats gray, reduces deeper values to 8 bits, takes the first frame.

    Args:
        source: A path, the bytes of a file, a PIL image, or RGB as uint8 (height, width, 3).

    Returns:
        RGB.

    Raises:
        RequestError: It cannot be read, is no image, is damaged, is outside `geometry.image_files.POLICY`, or has values
            that do not tell how bright they are.
    """
    try:
        if isinstance(source, np.ndarray):
            return _checked_pixels(source)
        if isinstance(source, Image.Image):
            POLICY.check_size((source.height, source.width))
            return upright_rgb(source)
        if isinstance(source, bytes):
            return _decode(source, name="the file")
        return _decode(_read_file(Path(source)), name=str(source))
    except ValueError as error:
        raise RequestError(str(error)) from error


def _read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        reason = error.strerror if isinstance(error, OSError) else error
        raise RequestError(f"{path} cannot be read ({reason})") from error


def _decode(content: bytes, *, name: str) -> Pixels:
    if not content:
        raise RequestError(f"{name} is empty (0 bytes); send an image ({FORMAT_NAMES})")
    return upright_rgb(open_image(io.BytesIO(content), name=name), name=name)


def _checked_pixels(pixels: np.ndarray) -> Pixels:
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or pixels.size == 0:
        raise RequestError(
            f"an image in memory must be uint8 of shape (height, width, 3) in RGB, this is {pixels.dtype} of shape {pixels.shape}"
        )
    POLICY.check_size((pixels.shape[0], pixels.shape[1]))
    return pixels
