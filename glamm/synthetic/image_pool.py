"""Folders of cut-outs and photographs: which images are usable, their names, and their splits."""

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from glamm.errors import DataError
from glamm.geometry.image_files import UNREADABLE, open_image, to_rgb, upright_rgb
from glamm.process_pool import OrderedMap
from glamm.structures.issue import Issue
from glamm.synthetic.descriptions import phrase_from_file_name, phrase_from_text
from glamm.synthetic.scene import BgrImage, NounPhrase

_log = logging.getLogger(__name__)

IMAGE_SUFFIXES = {".png", ".webp", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif"}

_MIN_SIDE_PX = 16  # of a cut-out's shortest side; a smaller object cannot be recognized
_MIN_BACKGROUND_SIDE_PX = 64
_MIN_FILLED = 0.05  # solid fraction of a cut-out's box
_MIN_ASPECT = 0.04  # shortest side of a cut-out's box by its longest
_SPLIT_SHARE = 0.15  # of the images, for validation and for test each

Bgra = UInt8[np.ndarray, "height width 4"]


@dataclass(frozen=True, slots=True)
class SourceImage:
    """A usable image.

    Args:
        path: Its file.
        digest: Of its pixels; a mirror image has the same.
        phrase: The name of the object; None for a background.
    """

    path: Path
    digest: str
    phrase: NounPhrase | None = None


@dataclass(frozen=True, slots=True)
class ImagePool:
    """The images that one split may use."""

    cutouts: tuple[SourceImage, ...]
    backgrounds: tuple[SourceImage, ...]


@dataclass(frozen=True, slots=True)
class ImagePools:
    """Images by split; splits share no image, also not as a copy or mirrored.

    Args:
        train: For training, pretraining included.
        val: For validation.
        test: For the test.
        digest: Of all usable images and their names.
    """

    train: ImagePool
    val: ImagePool
    test: ImagePool
    digest: str


def open_image_pools(
    cutouts: Path, backgrounds: Path, *, ordered_map: OrderedMap = map
) -> ImagePools:
    """Read two folders, log what cannot be used, and split the other images.

    Args:
        cutouts: RGBA images, at any depth, each described by a .txt of the same stem beside it or by its name.
        backgrounds: Photographs, at any depth.
        ordered_map: The built-in map, or one that reads in parallel.

    Raises:
        DataError: A folder is missing or has too few usable images; the message gives both numbers.
    """
    objects = _usable(cutouts, "cut-outs", inspect_cutout, ordered_map=ordered_map)
    photographs = _usable(backgrounds, "backgrounds", inspect_background, ordered_map=ordered_map)
    digest = hashlib.sha256()
    for source in (*objects, *photographs):
        digest.update(f"{source.digest} {_stable_text(source.phrase)}\n".encode())
    train, val, test = (
        ImagePool(tuple(of_objects), tuple(of_photographs))
        for of_objects, of_photographs in zip(
            _split_pools(objects), _split_pools(photographs), strict=True
        )
    )
    return ImagePools(train, val, test, digest.hexdigest())


def _stable_text(phrase: NounPhrase | None) -> str:
    """All fields of a name in a form that never changes: the digests of existing data sets contain it."""
    if phrase is None:
        return "None"
    return (
        f"Look(noun={phrase.noun!r}, adjectives={phrase.adjectives!r}, determiner={phrase.determiner!r}, "
        f"plural={phrase.plural!r}, is_compound={phrase.is_compound!r})"
    )


def inspect_cutout(path: Path) -> SourceImage | Issue:
    """Check a cut-out and find its name."""
    text = path.with_suffix(".txt")
    try:
        bgra = read_cutout(path)
        phrase = phrase_from_text(text.read_text(encoding="utf-8-sig")) if text.is_file() else None
    except UnicodeDecodeError:
        return _issue(path, f"its description {text.name} is not UTF-8")
    except (OSError, ValueError) as error:
        return _issue(path, str(error))
    phrase = phrase or phrase_from_file_name(path.stem)
    defect = _defect(bgra)
    if defect is None and phrase is None:
        defect = f"has no name: write what it shows into {text.name} beside it"
    return SourceImage(path, _digest(bgra), phrase) if defect is None else _issue(path, defect)


def _issue(path: Path, reason: str) -> Issue:
    return Issue.of_file(str(path), None, reason)


def _defect(bgra: Bgra) -> str | None:
    height, width = bgra.shape[:2]
    solid = bgra[..., 3] >= 128
    if solid.all():
        return "has no transparent background: the whole rectangle would be pasted"
    if solid.mean() < _MIN_FILLED or min(height, width) < _MIN_ASPECT * max(height, width):
        return "is too thin to be visible in an image"
    if min(height, width) < _MIN_SIDE_PX:
        return f"has only {width} x {height} solid pixels; at least {_MIN_SIDE_PX} are needed on each side"
    return None


def inspect_background(path: Path) -> SourceImage | Issue:
    """Check a photograph."""
    try:
        image = read_background(path)
    except (OSError, ValueError) as error:
        return _issue(path, str(error))
    height, width = image.shape[:2]
    if min(height, width) < _MIN_BACKGROUND_SIDE_PX:
        return _issue(
            path,
            f"has only {width} x {height} pixels; at least {_MIN_BACKGROUND_SIDE_PX} are needed on each side",
        )
    return SourceImage(path, _digest(image))


def read_cutout(path: Path) -> Bgra:
    """Read an image with transparency and crop it to its solid part.

    Raises:
        ValueError: It cannot be decoded, is too large, has no alpha channel or no solid pixel.
        OSError: The file cannot be read.
    """
    rgba = _read_rgba(path)
    solid = rgba[..., 3] >= 128
    rows, columns = np.flatnonzero(solid.any(axis=1)), np.flatnonzero(solid.any(axis=0))
    if not rows.size:
        raise ValueError("is transparent everywhere: no pixel has half of the full alpha")
    crop = rgba[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return cv2.cvtColor(np.ascontiguousarray(crop), cv2.COLOR_RGBA2BGRA)


def read_background(path: Path) -> BgrImage:
    """Read a photograph, upright.

    Raises:
        ValueError: It cannot be decoded or is too large.
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        return cv2.cvtColor(upright_rgb(open_image(file)), cv2.COLOR_RGB2BGR)


def _read_rgba(path: Path) -> UInt8[np.ndarray, "height width 4"]:
    """Pixels as they are stored."""
    with path.open("rb") as file:
        image = open_image(file)
        if not ({"A", "a"} & set(image.getbands()) or "transparency" in image.info):
            raise ValueError("has no alpha channel")
        rgb = to_rgb(image)
        try:
            return np.dstack([rgb, np.asarray(image.convert("RGBA"))[..., 3]])
        except UNREADABLE as error:
            raise ValueError(f"cannot be decoded: {error}") from error


@lru_cache(maxsize=1024)
def small_cutout(path: Path, limit: int) -> Bgra:
    """A cut-out whose sides are at most `limit`; colors under transparent pixels do not leak into it."""
    bgra = read_cutout(path)
    scale = limit / max(bgra.shape[:2])
    if scale >= 1:
        return bgra
    size = (max(1, round(bgra.shape[1] * scale)), max(1, round(bgra.shape[0] * scale)))
    alpha = bgra[..., 3:].astype(np.float32) / 255
    blended = cv2.resize(
        np.concatenate([bgra[..., :3] * alpha, alpha], axis=2), size, interpolation=cv2.INTER_AREA
    )
    alpha = blended[..., 3:]
    pure = np.where(alpha > 0, blended[..., :3] / np.maximum(alpha, 1e-6), 0)
    return np.clip(np.concatenate([pure, alpha * 255], axis=2) + 0.5, 0, 255).astype(np.uint8)


@lru_cache(maxsize=64)
def small_background(path: Path, limit: int) -> BgrImage:
    """A photograph whose shorter side is at most `limit`."""
    image = read_background(path)
    scale = limit / min(image.shape[:2])
    if scale >= 1:
        return image
    size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _usable(
    folder: Path,
    kind: str,
    inspect: Callable[[Path], SourceImage | Issue],
    *,
    ordered_map: OrderedMap,
) -> list[SourceImage]:
    if not folder.is_dir():
        raise DataError(f"is no folder; it should contain the {kind}", file=folder)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    images = [path for path in files if path.suffix.lower() in IMAGE_SUFFIXES]
    usable: dict[str, SourceImage] = {}
    for result in ordered_map(inspect, images):
        if isinstance(result, Issue):
            _log.warning("%s", result)
        elif result.digest in usable:
            _log.warning(
                "%s", _issue(result.path, f"shows the same as {usable[result.digest].path}")
            )
        else:
            usable[result.digest] = result
    _log.info("%s: %d of %d images in %s are used", kind, len(usable), len(images), folder)
    if len(usable) < 3:
        reason = (
            f"{len(usable)} usable {kind} of {len(images)} images ({len(files)} files); at least 3 are needed, "
            "one each for training, validation and test"
        )
        raise DataError(reason, file=folder)
    return list(usable.values())


def _split_pools(
    sources: list[SourceImage],
) -> tuple[list[SourceImage], list[SourceImage], list[SourceImage]]:
    """Split images into train, val and test; images of one name are spread over the splits.

    The split does not depend on the seed of the scenes: a model is never tested on an image of its pretraining.
    """

    def key(source: SourceImage) -> tuple[str, str]:
        noun = source.phrase.noun if source.phrase else ""
        return _hash(noun), _hash(source.digest)

    order = sorted(sources, key=key)
    count = max(1, round(_SPLIT_SHARE * len(order)))
    train, val = _take_evenly(order, count)
    train, test = _take_evenly(train, count)
    return train, val, test


def _take_evenly(
    sources: list[SourceImage], count: int
) -> tuple[list[SourceImage], list[SourceImage]]:
    """Remove `count` evenly spaced images; return the others and the removed ones."""
    taken = {(2 * index + 1) * len(sources) // (2 * count) for index in range(count)}
    others = [source for index, source in enumerate(sources) if index not in taken]
    return others, [sources[index] for index in sorted(taken)]


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _digest(pixels: UInt8[np.ndarray, "height width channels"]) -> str:
    """Equal for copies in another format and for mirror images, which would leak between splits."""
    both = (pixels.tobytes(), pixels[:, ::-1].tobytes())
    return hashlib.sha256(repr(pixels.shape).encode() + min(both)).hexdigest()
