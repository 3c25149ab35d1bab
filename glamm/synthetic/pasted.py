"""Pastes cut-outs on photographs: scaled, turned, mirrored, occluded, with matched colors and soft edges."""

import cv2
import numpy as np
from jaxtyping import Float32

from glamm.errors import DataError
from glamm.synthetic import canvas
from glamm.synthetic.array_types import constant_layer, repeat_channels
from glamm.synthetic.canvas import Sprite
from glamm.synthetic.image_pool import Bgra, ImagePool, SourceImage, small_background, small_cutout
from glamm.synthetic.placement import Placement, Position, back_to_front, depth_at, sample_count
from glamm.synthetic.scene import BgrImage, Scene

_SCALE = (0.2, 0.46)  # square root of the box's area, as a fraction of the image's side
_LONGEST = 0.8  # as a fraction of the image's side
_TURN_DEGREES = 14.0
_HORIZON = 0.25  # of a photograph's height; no object's base is above it
_COLOR_MATCH = 0.18  # fraction of the way from the cut-out's mean color to the background's
_EDGE = 0.55  # blur of the rim in pixels at 256 pixels a side
_MARGIN_PX = 3
_TRIES = 20


def paste_scene(rng: np.random.Generator, pool: ImagePool, *, side: int, max_objects: int) -> Scene:
    """Make one scene of photographs.

    Args:
        rng: The only source of randomness.
        pool: Cut-outs, of which none is used twice in a scene, and backgrounds.
        side: Side of the square image in pixels.
        max_objects: Largest number of objects.

    Returns:
        A scene of 1 to `max_objects` visible objects; its setting is not known.

    Raises:
        DataError: No cut-out of the pool shows enough pixels at this size.
    """
    for _ in range(_TRIES):
        scene = _paste(rng, pool, side=side, max_objects=max_objects)
        if scene.objects:
            return scene
    names = ", ".join(str(source.path) for source in pool.cutouts[:3])
    raise DataError(
        f"none of these cut-outs has enough pixels in an image of side {side}; use larger ones: {names}"
    )


def _paste(rng: np.random.Generator, pool: ImagePool, *, side: int, max_objects: int) -> Scene:
    background = _background(rng, pool.backgrounds, side=side)
    count = min(sample_count(rng, max_objects=max_objects), len(pool.cutouts))
    placement = Placement(side, _HORIZON * side)
    sprites: list[Sprite] = []
    for index in rng.choice(len(pool.cutouts), count, replace=False):
        patch = _transformed(rng, pool.cutouts[int(index)], side=side)
        height, width = (length - 2 * _MARGIN_PX for length in patch.shape[:2])
        position = placement.find(rng, height=float(height), width=float(width))
        if position is not None:
            sprites.append(
                _sprite(pool.cutouts[int(index)], patch, position, background=background)
            )
    kept, ids, hidden = canvas.drop_hidden(back_to_front(sprites), side=side)
    return Scene(
        image=canvas.paint(background, kept), objects=canvas.to_scene_objects(kept, ids, hidden)
    )


def _background(
    rng: np.random.Generator, sources: tuple[SourceImage, ...], *, side: int
) -> BgrImage:
    source = sources[int(rng.integers(len(sources)))]
    image = small_background(source.path, 2 * side)
    height, width = image.shape[:2]
    window = round(min(height, width) * float(rng.uniform(0.6, 1.0)))
    top, left = int(rng.integers(height - window + 1)), int(rng.integers(width - window + 1))
    crop = image[top : top + window, left : left + window]
    if rng.random() < 0.5:
        crop = crop[:, ::-1]
    shrinks = window > side
    return cv2.resize(
        np.ascontiguousarray(crop),
        (side, side),
        interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC,
    )


def _transformed(
    rng: np.random.Generator, source: SourceImage, *, side: int
) -> Float32[np.ndarray, "h w 4"]:
    """Scale, mirror and turn; colors are multiplied by alpha, which is 0 to 1."""
    bgra: Bgra = small_cutout(source.path, side)
    if rng.random() < 0.5:
        bgra = bgra[:, ::-1]
    height, width = bgra.shape[:2]
    target = float(rng.uniform(*_SCALE)) * side
    scale = min(target / np.sqrt(height * width), _LONGEST * side / max(height, width))
    size = (max(2, round(width * scale)), max(2, round(height * scale)))
    alpha = bgra[..., 3].astype(np.float32) / 255
    blended = cv2.merge(
        [*cv2.split(cv2.multiply(bgra[..., :3].astype(np.float32), repeat_channels(alpha))), alpha]
    )
    small = cv2.resize(
        blended, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    )
    return _turned(small, float(rng.uniform(-_TURN_DEGREES, _TURN_DEGREES)))


def _turned(patch: Float32[np.ndarray, "h w 4"], degrees: float) -> Float32[np.ndarray, "h2 w2 4"]:
    height, width = patch.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)
    cosine, sine = abs(matrix[0, 0]), abs(matrix[0, 1])
    new_width, new_height = (
        int(height * sine + width * cosine) + 3,
        int(height * cosine + width * sine) + 3,
    )
    matrix[0, 2] += (new_width - width) / 2
    matrix[1, 2] += (new_height - height) / 2
    turned = cv2.warpAffine(patch, matrix, (new_width, new_height), flags=cv2.INTER_LINEAR)
    solid = turned[..., 3] >= 0.5
    rows, columns = np.flatnonzero(solid.any(axis=1)), np.flatnonzero(solid.any(axis=0))
    if not rows.size:
        return np.pad(patch, ((_MARGIN_PX, _MARGIN_PX), (_MARGIN_PX, _MARGIN_PX), (0, 0)))
    crop = turned[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return np.pad(crop, ((_MARGIN_PX, _MARGIN_PX), (_MARGIN_PX, _MARGIN_PX), (0, 0)))


def _sprite(
    source: SourceImage,
    patch: Float32[np.ndarray, "h w 4"],
    position: Position,
    *,
    background: BgrImage,
) -> Sprite:
    if source.phrase is None:
        raise ValueError(f"{source.path} is a background, not a cut-out")
    side = background.shape[0]
    soft = cv2.GaussianBlur(patch, (0, 0), _EDGE * side / 256)
    inner = patch[..., 3:] > 0.98  # the inside stays sharp: only the rim is softened
    blended = np.where(inner, patch, soft)
    alpha = blended[..., 3]
    color = blended[..., :3] / repeat_channels(np.maximum(alpha, 1e-3))
    height, width = patch.shape[0] - 2 * _MARGIN_PX, patch.shape[1] - 2 * _MARGIN_PX
    return Sprite(
        color=_matched(color, alpha, background),
        alpha=np.where(alpha < 0.02, 0, alpha).astype(np.float32),
        left=round(position.x - patch.shape[1] / 2),
        top=round(position.base_y) - patch.shape[0] + _MARGIN_PX,
        base_y=position.base_y,
        phrase=source.phrase,
        depth=depth_at(position.base_y, side=side),
        shadow=(position.x, position.base_y - 0.02 * height, 0.42 * width, 0.05 * height + 1),
    )


def _matched(
    color: Float32[np.ndarray, "h w 3"], alpha: Float32[np.ndarray, "h w"], background: BgrImage
) -> Float32[np.ndarray, "h w 3"]:
    """Shift the mean color a little towards the background's, as if both had the same light."""
    weight = alpha / max(float(alpha.sum()), 1.0)
    # not a matrix product: its last digit depends on the number of threads
    sprite_mean = np.array(cv2.sumElems(color * repeat_channels(weight))[:3], dtype=np.float32)
    background_mean = np.array(cv2.mean(background)[:3], dtype=np.float32)
    shift = constant_layer(
        _COLOR_MATCH * (background_mean - sprite_mean), rows=alpha.shape[0], columns=alpha.shape[1]
    )
    return np.clip(color + shift, 0, 255)
