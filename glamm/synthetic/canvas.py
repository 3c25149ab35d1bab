"""Sprites on a background: who covers whom, the pixels and the exact masks."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from glamm.geometry import masks
from glamm.synthetic.array_types import spread
from glamm.synthetic.scene import Look, RgbImage, Thing

MIN_VISIBLE = 0.4  # of a sprite's own pixels; below, nobody could tell what it is
MIN_PIXELS = 36  # at 256 pixels a side; a 6 x 6 patch


@dataclass(frozen=True, slots=True)
class Sprite:
    """One thing, rendered, and where it goes.

    Args:
        color: Blue, green, red.
        alpha: Coverage, 0 to 1; the mask is where it is at least a half.
        left: Column of the image where the sprite begins; may be negative.
        top: Row of the image where the sprite begins; may be negative.
        foot: Row where the thing touches what it stands on.
        look: How it is called.
        depth: Inverse relative depth; larger is closer.
        carrier: Index, among the sprites of the scene, of what it stands on.
        shadow: Centre x, centre y, radius x, radius y of the soft shadow; None for none.
    """

    color: Float32[np.ndarray, "h w 3"]
    alpha: Float32[np.ndarray, "h w"]
    left: int
    top: int
    foot: float
    look: Look
    depth: float
    carrier: int | None = None
    shadow: tuple[float, float, float, float] | None = None


IdMap = UInt8[np.ndarray, "height width"]
"""0 for the background, index + 1 for the sprite that is in front."""


def drop_hidden(sprites: Sequence[Sprite], *, side: int) -> tuple[list[Sprite], IdMap, list[float]]:
    """Leave out what others nearly hide, until everything left can be seen.

    Args:
        sprites: From back to front.
        side: Of the square image in pixels.

    Returns:
        The sprites left, their id map, and how much of each is hidden, 0 to 1.
    """
    kept = list(sprites)
    least = MIN_PIXELS * (side / 256) ** 2
    while True:
        ids, whole = _id_map(kept, side=side)
        seen = np.bincount(ids.ravel(), minlength=len(kept) + 1)[1:]
        is_kept = (seen >= least) & (seen >= MIN_VISIBLE * whole)
        for index, sprite in enumerate(kept):
            if sprite.carrier is not None and not is_kept[sprite.carrier]:
                is_kept[index] = False  # it would hang in the air
        if is_kept.all():
            hidden = [float(1 - part / total) for part, total in zip(seen, whole, strict=True)]
            return kept, ids, hidden
        kept = _select(kept, is_kept)


def paint(background: RgbImage, sprites: Sequence[Sprite]) -> RgbImage:
    """Lay sprites with their shadows on a background, from back to front."""
    canvas = background.astype(np.float32)
    side = canvas.shape[0]
    for sprite in sprites:
        if sprite.shadow is not None:
            _cast(canvas, sprite.shadow)
        rows, columns, own_rows, own_columns = _overlap(sprite, side=side)
        region = canvas[rows, columns]
        if region.size:
            alpha = spread(sprite.alpha[own_rows, own_columns])
            region += alpha * (sprite.color[own_rows, own_columns] - region)
    return np.clip(canvas + 0.5, 0, 255).astype(np.uint8)


def to_things(sprites: Sequence[Sprite], ids: IdMap, hidden: Sequence[float]) -> tuple[Thing, ...]:
    """Read the exact masks and boxes from the id map."""
    things: list[Thing] = []
    for index, (sprite, part) in enumerate(zip(sprites, hidden, strict=True)):
        pixels = ids == index + 1
        box = masks.to_box(pixels)
        if box is None:
            raise ValueError(f"sprite {index} has no visible pixel; drop_hidden must run first")
        things.append(
            Thing(
                look=sprite.look,
                box=box,
                mask=masks.encode(pixels),
                foot=sprite.foot,
                depth=sprite.depth,
                carrier=sprite.carrier,
                hidden=part,
            )
        )
    return tuple(things)


def _select(sprites: Sequence[Sprite], is_kept: Bool[np.ndarray, " sprites"]) -> list[Sprite]:
    new_index = np.cumsum(is_kept) - 1
    return [
        replace(sprite, carrier=None if sprite.carrier is None else int(new_index[sprite.carrier]))
        for sprite, kept in zip(sprites, is_kept, strict=True)
        if kept
    ]


def _id_map(sprites: Sequence[Sprite], *, side: int) -> tuple[IdMap, np.ndarray]:
    ids = np.zeros((side, side), dtype=np.uint8)
    whole = np.zeros(len(sprites))
    for index, sprite in enumerate(sprites):
        solid = sprite.alpha >= 0.5
        whole[index] = max(int(np.count_nonzero(solid)), 1)
        rows, columns, own_rows, own_columns = _overlap(sprite, side=side)
        ids[rows, columns][solid[own_rows, own_columns]] = index + 1
    return ids, whole


def _overlap(sprite: Sprite, *, side: int) -> tuple[slice, slice, slice, slice]:
    height, width = sprite.alpha.shape
    top, left = max(sprite.top, 0), max(sprite.left, 0)
    bottom, right = min(sprite.top + height, side), min(sprite.left + width, side)
    bottom, right = max(bottom, top), max(right, left)
    return (
        slice(top, bottom),
        slice(left, right),
        slice(top - sprite.top, bottom - sprite.top),
        slice(left - sprite.left, right - sprite.left),
    )


def _cast(
    canvas: Float32[np.ndarray, "side side 3"], shadow: tuple[float, float, float, float]
) -> None:
    side = canvas.shape[0]
    x, y, radius_x, radius_y = shadow
    top, bottom = max(int(y - 2.4 * radius_y), 0), min(int(y + 2.4 * radius_y) + 1, side)
    left, right = max(int(x - 2.4 * radius_x), 0), min(int(x + 2.4 * radius_x) + 1, side)
    if top >= bottom or left >= right:
        return
    # a Gaussian is the product of one along x and one along y
    across = np.exp(-(((np.arange(left, right, dtype=np.float32) - x) / radius_x) ** 2))
    down = np.exp(-(((np.arange(top, bottom, dtype=np.float32) - y) / radius_y) ** 2))
    flat = canvas.reshape(side, side * 3)  # long rows are fast
    flat[top:bottom, left * 3 : right * 3] *= 1 - 0.55 * down[:, None] * across.repeat(3)[None, :]
