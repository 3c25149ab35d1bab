"""Masks as pixels and as COCO run-length codes (RLE), and their boxes."""

import io
import struct
from collections.abc import Sequence
from typing import Any, cast

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Int64, UInt8
from PIL import Image
from pycocotools import mask as coco

from glamm.structures.sample import Mask
from glamm.typing import Box, Size

_BITS, _SIGN, _CONTINUES = 0x1F, 0x10, 0x20  # of a character of COCO's run-length code
_MAX_CHARACTERS = 12  # of one number; more do not fit 64 bits
_PNG_MASK_MODES = {"1", "L", "P", "I", "I;16", "I;16B"}


def encode(pixels: Bool[np.ndarray, "height width"]) -> Mask:
    """Compress a mask to COCO's RLE."""
    code = coco.encode(np.asfortranarray(pixels, dtype=np.uint8))
    return Mask(size=(int(pixels.shape[0]), int(pixels.shape[1])), counts=_binary(code["counts"]))


def _binary(counts: str | bytes) -> bytes:
    return counts.encode("ascii") if isinstance(counts, str) else counts


def decode(mask: Mask) -> Bool[np.ndarray, "height width"]:
    """Expand COCO's RLE to pixels.

    Raises:
        ValueError: The runs do not fill the image exactly. pycocotools decodes such masks without an error.
    """
    check_runs(mask)
    return coco.decode({"size": list(mask.size), "counts": mask.counts}).astype(bool)


def check_runs(mask: Mask) -> None:
    """Check that the runs add up to the image.

    Raises:
        ValueError: They do not; the message gives both numbers.
    """
    height, width = mask.size
    total = int(run_lengths(mask.counts).sum())
    if total != height * width:
        raise ValueError(
            f"mask runs add up to {total} pixels, the size {height} x {width} needs {height * width}"
        )


def run_lengths(counts: bytes) -> Int64[np.ndarray, " runs"]:
    """Read COCO's compressed run lengths.

    A character holds five bits, low bits first. From the third run on, a number is the difference to the run two before.

    Raises:
        ValueError: A character outside the code, a code that ends in the middle of a number, or a negative run.

    Source: `rleFrString` of the COCO API, restated for whole arrays.
    """
    codes = np.frombuffer(counts, dtype=np.uint8).astype(np.int64) - 48
    if not len(codes):
        return codes
    wrong = np.flatnonzero((codes < 0) | (codes >= 64))
    if len(wrong):
        raise ValueError(
            f"mask runs contain the byte {counts[wrong[0]]}, which is no run-length code"
        )
    is_last = (codes & _CONTINUES) == 0
    if not is_last[-1]:
        raise ValueError("mask runs end in the middle of a number")
    ends = np.flatnonzero(is_last)
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    if lengths.max() > _MAX_CHARACTERS:
        raise ValueError("mask runs contain a number of more than 60 bits")
    positions = np.arange(len(codes)) - np.repeat(starts, lengths)
    values = np.add.reduceat((codes & _BITS) << (5 * positions), starts)
    values -= np.where(codes[ends] & _SIGN, np.int64(1) << (5 * lengths), 0)
    runs = values.copy()
    runs[1::2] = np.cumsum(values[1::2])
    runs[2::2] = np.cumsum(values[2::2])
    if runs.min() < 0:
        raise ValueError(f"mask runs contain a negative run of {runs.min()} pixels")
    return runs


def from_polygons(polygons: Sequence[Sequence[float]], *, size: Size) -> Mask:
    """Rasterize polygons (x, y, x, y, ...) by COCO's rules and unite them."""
    codes = cast(
        "list[Any]", coco.frPyObjects(cast("Any", [list(polygon) for polygon in polygons]), *size)
    )
    merged = coco.merge(codes)
    return Mask(size=size, counts=_binary(merged["counts"]))


def from_runs(runs: Sequence[int], *, size: Size) -> Mask:
    """Compress run lengths (column by column, background first) that add up to the image."""
    code = cast(
        "Any", coco.frPyObjects(cast("Any", {"size": list(size), "counts": list(runs)}), *size)
    )
    return Mask(size=size, counts=_binary(code["counts"]))


def from_png(content: bytes, *, max_pixels: int) -> Bool[np.ndarray, "height width"]:
    """Read a mask from a PNG without colors: every value above 0 is foreground.

    Args:
        content: The encoded file.
        max_pixels: Largest height times width that is decoded.

    Raises:
        ValueError: It is no PNG or damaged, has colors, or is too large.
    """
    try:
        image = Image.open(io.BytesIO(content), formats=("PNG",))
        if image.width * image.height > max_pixels:
            raise ValueError(f"has {image.width} x {image.height} pixels, more than its image")
        if image.mode not in _PNG_MASK_MODES:
            raise ValueError(f"must be a gray PNG, is {image.mode}")
        return np.asarray(image) > 0
    except Image.DecompressionBombError as error:
        raise ValueError(f"has too many pixels ({error})") from error
    except (OSError, SyntaxError, EOFError, struct.error) as error:
        raise ValueError(f"is no PNG that can be read ({error})") from error


def union(masks: Sequence[Mask]) -> Mask:
    """The pixels that are in any of the masks.

    Raises:
        ValueError: No mask, or masks of different sizes.
    """
    if not masks:
        raise ValueError("the union of no masks has no size")
    sizes = {mask.size for mask in masks}
    if len(sizes) > 1:
        raise ValueError(f"masks of different sizes cannot be united: {sorted(sizes)}")
    merged = coco.merge([{"size": list(mask.size), "counts": mask.counts} for mask in masks])
    return Mask(size=masks[0].size, counts=_binary(merged["counts"]))


def difference(mask: Mask, other: Mask) -> Mask:
    """The pixels of a mask that another mask of the same size does not have."""
    return encode(decode(mask) & ~decode(other))


def area(mask: Mask) -> int:
    """Number of foreground pixels."""
    return int(coco.area({"size": list(mask.size), "counts": mask.counts}))


def box_of(mask: Mask) -> Box | None:
    """The tight box around an encoded mask, right and bottom edge exclusive; None for an empty mask."""
    code = cast("Any", {"size": list(mask.size), "counts": mask.counts})
    left, top, width, height = (float(value) for value in coco.toBbox(code))
    return (left, top, left + width, top + height) if width and height else None


def to_box(pixels: Bool[np.ndarray, "height width"]) -> Box | None:
    """The tight box around a mask, right and bottom edge exclusive; None for an empty mask."""
    rows, columns = np.flatnonzero(pixels.any(axis=1)), np.flatnonzero(pixels.any(axis=0))
    if rows.size == 0:
        return None
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def resize(pixels: Bool[np.ndarray, "_ _"], size: Size) -> Bool[np.ndarray, "height width"]:
    """Resize a mask to (height, width) `size`: a pixel is set where at least half of its area was."""
    if pixels.shape == tuple(size):
        return pixels
    image = Image.fromarray(pixels.astype(np.uint8) * 255)
    return np.asarray(image.resize((size[1], size[0]), Image.Resampling.BOX)) >= 128


def coverage(pixels: Bool[np.ndarray, "_ _"], size: Size) -> Float32[np.ndarray, "height width"]:
    """Part of each pixel of an image of (height, width) `size` that a mask covers, 0 to 1; larger sizes interpolate."""
    return cv2.resize(pixels.astype(np.float32), (size[1], size[0]), interpolation=cv2.INTER_AREA)


def decode_stack(masks: Sequence[Mask], *, size: Size) -> UInt8[np.ndarray, "masks height width"]:
    """Decode several masks of one image; no masks give an empty stack."""
    if not masks:
        return np.zeros((0, *size), dtype=np.uint8)
    return np.stack([decode(mask) for mask in masks]).astype(np.uint8)
