"""Folders of cut-outs and photographs: what is usable, how it is called, and which split it belongs to."""

import hashlib
import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

from glamm.errors import DataError
from glamm.synthetic.descriptions import look_from_name, look_from_text
from glamm.synthetic.parallel import Runner
from glamm.synthetic.scene import Look, RgbImage

_log = logging.getLogger(__name__)

PICTURE_SUFFIXES = {".png", ".webp", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif"}
MAX_PIXELS = 50_000_000
"""More is taken for a mistake: it would need gigabytes to decode."""

_MIN_SOLID_PX = 16  # shortest side of what can be recognised
_MIN_FILLED = 0.05  # of its box
_MIN_ASPECT = 0.04  # of its longest side
_UNREADABLE = (
    OSError,
    ValueError,
    SyntaxError,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)
_SHARE = 0.15  # of the files, for validation and for test each

Bgra = UInt8[np.ndarray, "height width 4"]


@dataclass(frozen=True, slots=True)
class Source:
    """A usable image.

    Args:
        path: Where it is.
        digest: Of its pixels; a mirror image has the same.
        look: How the thing in it is called; None for a background.
    """

    path: Path
    digest: str
    look: Look | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """An image that is set aside, and why."""

    path: Path
    reason: str


@dataclass(frozen=True, slots=True)
class Pool:
    """The images that one split may use."""

    cutouts: tuple[Source, ...]
    backgrounds: tuple[Source, ...]


@dataclass(frozen=True, slots=True)
class Library:
    """Images by split; no file, and no copy of one, is in two of them.

    Args:
        train: For training, pretraining included.
        val: For validation.
        test: For the test.
        digest: Of everything that was used, and of the names that it got.
    """

    train: Pool
    val: Pool
    test: Pool
    digest: str


def open_library(cutouts: Path, backgrounds: Path, *, run: Runner = map) -> Library:
    """Read two folders, name what cannot be used, and deal the rest out to the splits.

    Args:
        cutouts: RGBA images, at any depth, each described by a .txt of the same stem beside it or by its name.
        backgrounds: Photographs, at any depth.
        run: Like the built-in map; a pool's map reads in parallel.

    Raises:
        DataError: A folder is missing or holds too few usable images; the message counts both kinds.
    """
    things = _usable(cutouts, "cut-outs", inspect_cutout, run=run)
    places = _usable(backgrounds, "backgrounds", inspect_background, run=run)
    dealt_things, dealt_places = _deal(things), _deal(places)
    digest = hashlib.sha256()
    for source in (*things, *places):
        digest.update(f"{source.digest} {source.look}\n".encode())
    train, val, test = (
        Pool(tuple(own_things), tuple(own_places))
        for own_things, own_places in zip(dealt_things, dealt_places, strict=True)
    )
    return Library(train, val, test, digest.hexdigest())


def inspect_cutout(path: Path) -> Source | Rejected:
    """Check a cut-out and find its name."""
    text = path.with_suffix(".txt")
    try:
        bgra = read_cutout(path)
        fault = _fault(bgra)
        look = look_from_text(text.read_text(encoding="utf-8-sig")) if text.is_file() else None
    except UnicodeDecodeError:
        return Rejected(path, f"its description {text.name} is not UTF-8")
    except _UNREADABLE as error:
        return Rejected(path, _reason(error))
    look = look or look_from_name(path.stem)
    if look is None:
        fault = fault or f"has no name: write what it shows into {text.name} beside it"
    return Rejected(path, fault) if fault else Source(path, _digest(bgra), look)


def _fault(bgra: Bgra) -> str | None:
    height, width = bgra.shape[:2]
    solid = bgra[..., 3] >= 128
    if solid.all():
        return "has no transparent background: the whole rectangle would be pasted"
    if solid.mean() < _MIN_FILLED or min(height, width) < _MIN_ASPECT * max(height, width):
        return "is too thin to be seen in an image"
    if min(height, width) < _MIN_SOLID_PX:
        return f"shows only {width} x {height} pixels; {_MIN_SOLID_PX} are needed"
    return None


def inspect_background(path: Path) -> Source | Rejected:
    """Check a photograph."""
    try:
        image = read_background(path)
    except _UNREADABLE as error:
        return Rejected(path, _reason(error))
    if min(image.shape[:2]) < 64:
        return Rejected(path, f"is only {image.shape[1]} x {image.shape[0]} pixels; 64 are needed")
    return Source(path, _digest(image))


def read_cutout(path: Path) -> Bgra:
    """Read an image with transparency, cut to its solid part.

    Raises:
        ValueError: It has no alpha channel, is empty or too large.
        OSError: It cannot be decoded.
    """
    with _opened(path) as image:
        if (
            "A" not in image.getbands()
            and "a" not in image.getbands()
            and "transparency" not in image.info
        ):
            raise ValueError("has no alpha channel")
        rgba = np.asarray(image.convert("RGBA"))
    solid = rgba[..., 3] >= 128
    rows, columns = np.flatnonzero(solid.any(axis=1)), np.flatnonzero(solid.any(axis=0))
    if not rows.size:
        raise ValueError("is transparent everywhere: no pixel has half of the full alpha")
    part = rgba[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return cv2.cvtColor(np.ascontiguousarray(part), cv2.COLOR_RGBA2BGRA)


def read_background(path: Path) -> RgbImage:
    """Read a photograph, upright.

    Raises:
        ValueError: It is too large.
        OSError: It cannot be decoded.
    """
    with _opened(path) as image:
        upright = ImageOps.exif_transpose(image).convert("RGB")
    return cv2.cvtColor(np.asarray(upright), cv2.COLOR_RGB2BGR)


@lru_cache(maxsize=1024)
def small_cutout(path: Path, limit: int) -> Bgra:
    """A cut-out no longer than `limit` on any side, its colours free of what lies under the transparency."""
    bgra = read_cutout(path)
    scale = limit / max(bgra.shape[:2])
    if scale >= 1:
        return bgra
    size = (max(1, round(bgra.shape[1] * scale)), max(1, round(bgra.shape[0] * scale)))
    alpha = bgra[..., 3:].astype(np.float32) / 255
    blended = cv2.resize(
        np.concatenate([bgra[..., :3] * alpha, alpha], axis=2), size, interpolation=cv2.INTER_AREA
    )
    cover = blended[..., 3:]
    pure = np.where(cover > 0, blended[..., :3] / np.maximum(cover, 1e-6), 0)
    return np.clip(np.concatenate([pure, cover * 255], axis=2) + 0.5, 0, 255).astype(np.uint8)


@lru_cache(maxsize=64)
def small_background(path: Path, limit: int) -> RgbImage:
    """A photograph whose shorter side is at most `limit`."""
    image = read_background(path)
    scale = limit / min(image.shape[:2])
    if scale >= 1:
        return image
    size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _opened(path: Path) -> Image.Image:
    with warnings.catch_warnings():
        # Pillow warns of large images before it decodes them; here they are refused
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        image = Image.open(path)
    if image.width * image.height > MAX_PIXELS:
        image.close()
        raise ValueError(
            f"has {image.width} x {image.height} pixels; at most {MAX_PIXELS} are read"
        )
    return image


def _usable(
    folder: Path, kind: str, inspect: Callable[[Path], Source | Rejected], *, run: Runner
) -> list[Source]:
    if not folder.is_dir():
        raise DataError(f"is no folder; it is where the {kind} should be", file=folder)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    images = [path for path in files if path.suffix.lower() in PICTURE_SUFFIXES]
    usable: dict[str, Source] = {}
    rejected: list[Rejected] = []
    for result in run(inspect, images):
        if isinstance(result, Rejected):
            rejected.append(result)
        elif result.digest in usable:
            rejected.append(
                Rejected(result.path, f"shows the same as {usable[result.digest].path}")
            )
        else:
            usable[result.digest] = result
    for item in rejected:
        _log.warning("set aside: %s: %s", item.path, item.reason)
    _log.info("%s: %d of %d images in %s are used", kind, len(usable), len(images), folder)
    if len(usable) < 3:
        reason = (
            f"{len(usable)} usable {kind} of {len(images)} images ({len(files)} files); at least 3 are needed, "
            "one each for training, validation and test"
        )
        raise DataError(reason, file=folder)
    return list(usable.values())


def _deal(sources: list[Source]) -> tuple[list[Source], list[Source], list[Source]]:
    """Deal images out so that several of one name spread over the splits.

    Always in the same way, whatever the seed of the scenes: what a model was pretrained on is never what it is
    judged by.
    """

    def key(source: Source) -> tuple[str, str]:
        name = source.look.noun if source.look else ""
        return _hash(name), _hash(source.digest)

    order = sorted(sources, key=key)
    share = max(1, round(_SHARE * len(order)))
    train, val = _every(order, share)
    train, test = _every(train, share)
    return train, val, test


def _every(sources: list[Source], count: int) -> tuple[list[Source], list[Source]]:
    """Take `count` evenly spaced ones out."""
    taken = {(2 * place + 1) * len(sources) // (2 * count) for place in range(count)}
    left = [source for index, source in enumerate(sources) if index not in taken]
    return left, [sources[index] for index in sorted(taken)]


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _digest(pixels: UInt8[np.ndarray, "height width channels"]) -> str:
    """The same for copies in another format and for mirror images, which would leak from split to split."""
    both = (pixels.tobytes(), pixels[:, ::-1].tobytes())
    return hashlib.sha256(repr(pixels.shape).encode() + min(both)).hexdigest()


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "is no image that can be read"
    if isinstance(error, Image.DecompressionBombWarning | Image.DecompressionBombError):
        return f"has more than {MAX_PIXELS} pixels"
    return str(error) or type(error).__name__
