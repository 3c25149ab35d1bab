"""Images of a request: from a file, bytes, a PIL image or an array to upright RGB."""

import io
import re
from pathlib import Path
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
from PIL import Image

from glamm.errors import RequestError
from glamm.geometry.image_files import FORMAT_NAMES, POLICY, Pixels, open_image, upright_rgb

_ADDRESS = re.compile("(data:|[a-z][a-z0-9]*://)", re.IGNORECASE)


@runtime_checkable
class BinaryFile(Protocol):
    """An open file, or another stream of bytes."""

    def read(self, size: int = -1, /) -> bytes:
        """The bytes from its position on."""
        ...


ImageSource: TypeAlias = (
    Path | str | bytes | bytearray | memoryview | BinaryFile | Image.Image | np.ndarray
)
"""A path, the content of a file, an open file, or an image in memory."""


def read_image(source: ImageSource) -> Pixels:
    """Read an image upright, as a viewer displays it.

    Turns it as EXIF asks, drops alpha, repeats gray, reduces deeper values to 8 bits, takes the first frame.

    Args:
        source: A path, the bytes of a file, a file opened for reading bytes, a PIL image, or RGB as uint8
            (height, width, 3).

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
        if isinstance(source, Path | str):
            return _decode(_read_file(source), name=str(source))
        content = source.read() if isinstance(source, BinaryFile) else source
        if not isinstance(content, bytes | bytearray | memoryview):
            raise RequestError(
                "an image must be a path, bytes, a file opened for reading bytes, a PIL image or an array, "
                f"this is {type(source).__name__}"
            )
        return _decode(bytes(content), name="the file")
    except ValueError as error:
        raise RequestError(str(error)) from error


def _read_file(path: Path | str) -> bytes:
    if _ADDRESS.match(str(path)):
        raise RequestError(f"{str(path)[:50]} is an address, not a file: download the image first")
    try:
        return Path(path).read_bytes()
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
