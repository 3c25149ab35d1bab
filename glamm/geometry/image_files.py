"""Image files: which ones are read, their headers, and their pixels as RGB."""

import io
import struct
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from glamm.geometry import deep_images
from glamm.structures.sample import Frame
from glamm.typing import Size

Pixels: TypeAlias = UInt8[np.ndarray, "height width 3"]
"""RGB."""

UNREADABLE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    OverflowError,
    struct.error,
    TypeError,
    RuntimeError,
)
"""What Pillow's decoders raise for damaged files: TypeError comes from TIFF, RuntimeError from AVIF."""

_ORIENTATION_TAG = 0x0112
_DEPTH = "depth"
"""Key in the `info` of an opened image: decoding, which reading EXIF data may start, forgets the depth."""

_FOREIGN: tuple[tuple[int, bytes, str], ...] = (
    (0, b"version https://git-lfs", "a git-lfs pointer: run `git lfs pull`"),
    (0, b"%PDF", "a PDF"),
    (0, b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (0, b"\0\0\0\x0cJXL ", "JPEG XL"),
    (0, b"\xff\x0a", "JPEG XL"),
    *((4, b"ftyp" + brand, "HEIC") for brand in (b"heic", b"heix", b"hevc", b"mif1", b"msf1")),
    (0, b"<", "HTML, SVG or other XML"),
    *(
        (
            0,
            signature,
            "a TIFF that is damaged or has other values: save it with 8 bits per channel",
        )
        for signature in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
    ),
)
"""Offset and first bytes of files that are often met in place of an image, and what they are."""

_QUARTER_TURNS = {5, 6, 7, 8}  # EXIF orientations that swap height and width
_OPPOSITE = {6: 8, 8: 6}  # the others are their own opposites


@dataclass(frozen=True, slots=True)
class ImagePolicy:
    """Which images are read.

    Args:
        formats: Pillow's names of the decoders that may run.
        max_pixels: Largest height times width. A file of a few bytes can claim any size, so it is checked in the
            header, before anything is decoded.
        max_aspect_ratio: Largest ratio of the longest side to the shortest. A center crop first enlarges the shortest
            side: a line of pixels would fill the memory.
    """

    formats: tuple[str, ...]
    max_pixels: int
    max_aspect_ratio: int

    def check_size(self, size: Size, *, name: str = "the image") -> None:
        """Check an image's (height, width).

        Raises:
            ValueError: It is too large or too long; the message begins with `name` and gives the limit.
        """
        height, width = size
        if height * width > self.max_pixels:
            raise ValueError(
                f"{name} has {width} x {height} = {width * height:,} pixels, at most {self.max_pixels:,} are read: "
                "make it smaller"
            )
        if max(size) > self.max_aspect_ratio * min(size):
            raise ValueError(
                f"{name} is {width} x {height} pixels; one side may be at most {self.max_aspect_ratio} times the "
                "other: crop it"
            )


POLICY = ImagePolicy(
    formats=("JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF", "PPM"),
    max_pixels=50_000_000,
    max_aspect_ratio=100,
)
"""The one policy of data, training, inference and `glamm synth`: every image that can be trained can be asked about.

50 million pixels hold the photographs of a 50-megapixel camera (8160 x 6120) and are more than twice the largest image
of the data sets that are read. Decoded they take 150 MB, and one mask of them in float32 takes 200 MB, which is what the
service allows for one request.
"""

FORMAT_NAMES = "JPEG, PNG, WebP, AVIF, GIF, BMP, TIFF or PPM"


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """What an image's first bytes state.

    Args:
        size: (height, width) of the stored pixels.
        orientation: EXIF orientation; 1 is upright, also where the file states none.
        pixel_format: "gray", "png_alpha", "png_named_jpg" or Pillow's mode in lower case; None for plain RGB.
    """

    size: Size
    orientation: int
    pixel_format: str | None

    @property
    def upright_size(self) -> Size:
        """(height, width) after the turn that EXIF asks for."""
        height, width = self.size
        return (width, height) if self.orientation in _QUARTER_TURNS else self.size

    def is_turned(self, size: Size, frame: Frame) -> bool:
        """Whether annotations of this (height, width), drawn in this frame, are drawn on the upright image."""
        if size == self.size == self.upright_size:
            return frame is Frame.TURNED  # square, or turned by half: the size does not tell
        return frame is not Frame.STORED and size == self.upright_size

    def has_size(self, size: Size, frame: Frame) -> bool:
        """Whether the image has this (height, width) in a frame."""
        return size == (self.upright_size if self.is_turned(size, frame) else self.size)


def read_header(path: Path) -> ImageHeader:
    """Read an image's header without decoding its pixels.

    Raises:
        ValueError: It is missing, is no image, or is outside `POLICY`.
    """
    try:
        with path.open("rb") as file:
            return _header(open_image(file), suffix=path.suffix.lower())
    except FileNotFoundError as error:
        raise ValueError("the image is missing") from error


def header_of(content: bytes, *, suffix: str) -> ImageHeader:
    """Read the header of an encoded image without decoding its pixels.

    Args:
        content: The encoded image.
        suffix: Of its file, in small letters, with the dot.

    Raises:
        ValueError: It is no image, or is outside `POLICY`.
    """
    return _header(open_image(io.BytesIO(content)), suffix=suffix)


def decode(content: bytes, *, size: Size, frame: Frame = Frame.TURNED) -> Pixels:
    """Decode an image in the frame of its annotations.

    Args:
        content: The encoded image.
        size: (height, width) that the annotations state.
        frame: The pixels on which the annotations are drawn.

    Returns:
        RGB; see `to_rgb`.

    Raises:
        ValueError: The image cannot be decoded, is outside `POLICY`, or has another size.

    Upstream: the release turns pixels by EXIF and leaves masks alone.
    """
    image = open_image(io.BytesIO(content))
    header = _header(image, suffix="")
    if not header.has_size(size, frame):
        raise ValueError(
            f"the image is {_text(header.size)}, the annotations are for {_text(size)}"
        )
    if header.is_turned(size, frame):
        return upright_rgb(image)
    pixels = to_rgb(image)
    if image.format != "TIFF":
        return pixels
    return _turn(pixels, _OPPOSITE.get(header.orientation, header.orientation))


def open_image(file: io.BufferedReader | io.BytesIO, *, name: str = "the image") -> Image.Image:
    """Open an image of `POLICY` without decoding its pixels.

    Args:
        file: A file or bytes; it stays open as long as the image is used.
        name: The beginning of an error's message.

    Raises:
        ValueError: It is no image of a format that is read, its header claims a size outside the limits, or it has
            signed values.
    """
    Image.init()  # only the first call does anything
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(file, formats=POLICY.formats)
    except Image.DecompressionBombError as error:
        raise ValueError(
            f"{name} claims too many pixels, at most {POLICY.max_pixels:,} are read ({error})"
        ) from error
    except UNREADABLE as error:
        raise ValueError(f"{name} is {_what_it_is(file)}") from error
    POLICY.check_size((image.height, image.width), name=name)
    try:
        image.info[_DEPTH] = deep_images.read_depth(image)
    except deep_images.DepthError as error:
        raise ValueError(f"{name} {error}") from error
    return image


def _what_it_is(file: io.BufferedReader | io.BytesIO) -> str:
    """What a file is that Pillow cannot open."""
    file.seek(0)
    head = file.read(40)
    for offset, signature, what in _FOREIGN:
        if head.startswith(signature, offset):
            return f"no image that can be read, but {what} ({FORMAT_NAMES} are read)"
    return f"no image that can be read ({FORMAT_NAMES})"


def to_rgb(image: Image.Image, *, name: str = "the image") -> Pixels:
    """Decode pixels as they are stored.

    Drops alpha without blending, repeats gray, reduces deeper values to 8 bits (see `deep_images`), and takes the first
    frame.

    Args:
        image: From `open_image`, or one in memory.
        name: The beginning of an error's message.

    Raises:
        ValueError: The file is damaged, or its values do not tell how bright they are.
    """
    try:
        depth = image.info.get(_DEPTH) or deep_images.read_depth(image)
        if deep_images.is_deep(image):
            return np.repeat(deep_images.to_8_bits(image, depth)[..., None], 3, axis=2)
        if image.mode == "P" and "transparency" in image.info:
            image = image.convert("RGBA")  # as Pillow advises
        pixels = np.array(image.convert("RGB"))
        deep_images.check_reduced(pixels, depth)
    except deep_images.DepthError as error:
        raise ValueError(f"{name} {error}") from error
    except UNREADABLE as error:
        raise ValueError(
            f"{name} is damaged or cannot be converted to RGB, so it cannot be decoded: {error}"
        ) from error
    return pixels


def upright_rgb(image: Image.Image, *, name: str = "the image") -> Pixels:
    """Decode pixels as `to_rgb` does, turned as EXIF asks.

    Raises:
        ValueError: As `to_rgb` does.
    """
    pixels = to_rgb(image, name=name)
    # after decoding: Pillow has turned TIFF by now and states 1
    return _turn(pixels, _orientation(image))


def _turn(stored: UInt8[np.ndarray, "rows columns 3"], orientation: int) -> Pixels:
    """Turn pixels as an EXIF orientation asks."""
    rows = slice(None, None, -1 if orientation in {3, 4, 6, 7} else 1)
    columns = slice(None, None, -1 if orientation in {2, 3, 7, 8} else 1)
    turned = stored[rows, columns]
    return np.ascontiguousarray(
        turned.transpose(1, 0, 2) if orientation in _QUARTER_TURNS else turned
    )


def _header(image: Image.Image, *, suffix: str) -> ImageHeader:
    orientation = _orientation(image)
    size = (image.height, image.width)
    if image.format == "TIFF" and orientation in _QUARTER_TURNS:
        size = (image.width, image.height)  # Pillow turns TIFF, and states the size after the turn
    return ImageHeader(size, orientation, _pixel_format(image, suffix))


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except UNREADABLE:
        return 1


def _pixel_format(image: Image.Image, suffix: str) -> str | None:
    if image.format == "PNG" and suffix in {".jpg", ".jpeg"}:
        return "png_named_jpg"
    if image.mode in {"RGBA", "LA", "PA"} or "transparency" in image.info:
        return "png_alpha"
    if image.mode == "L":
        return "gray"
    return None if image.mode == "RGB" else image.mode.lower()


def _text(size: Size) -> str:
    return f"{size[0]} x {size[1]} (height x width)"
