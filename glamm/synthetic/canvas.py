"""Composes sprites on a background: occlusion, pixels and exact masks."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from glamm.geometry import masks
from glamm.synthetic.array_types import repeat_channels
from glamm.synthetic.scene import BgrImage, NounPhrase, SceneObject

MIN_VISIBLE = 0.4  # fraction of a sprite's pixels; with less, the object is not recognizable
MIN_PIXELS = 36  # in an image of 256 x 256 pixels; a 6 x 6 patch


@dataclass(frozen=True, slots=True)
class Sprite:
    """A rendered object and its position in the image.

    Args:
        color: Blue, green, red.
        alpha: Coverage, 0 to 1; the mask is where it is at least a half.
        left: Column of the image where the sprite begins; may be negative.
        top: Row of the image where the sprite begins; may be negative.
        base_y: Row where the object touches the ground or its support.
        phrase: Its name.
        depth: Inverse relative depth; larger is closer.
        support: Index, among the sprites of the scene, of the one on which it is; None on the ground.
        shadow: Center x, center y, radius x, radius y of the soft shadow; None for none.
    """

    color: Float32[np.ndarray, "h w 3"]
    alpha: Float32[np.ndarray, "h w"]
    left: int
    top: int
    base_y: float
    phrase: NounPhrase
    depth: float
    support: int | None = None
    shadow: tuple[float, float, float, float] | None = None


IdMap = UInt8[np.ndarray, "height width"]
"""0 for the background, index + 1 for the front sprite."""


def drop_hidden(sprites: Sequence[Sprite], *, side: int) -> tuple[list[Sprite], IdMap, list[float]]:
    """Leave out sprites that others nearly hide, until every remaining one is visible enough.

    Args:
        sprites: From back to front.
        side: Side of the square image in pixels.

    Returns:
        The remaining sprites, their id map, and the fraction of each that is hidden, 0 to 1.
    """
    kept = list(sprites)
    least = MIN_PIXELS * (side / 256) ** 2
    while True:
        ids, num_solid = _id_map(kept, side=side)
        num_visible = np.bincount(ids.ravel(), minlength=len(kept) + 1)[1:]
        is_kept = (num_visible >= least) & (num_visible >= MIN_VISIBLE * num_solid)
        for index, sprite in enumerate(kept):
            if sprite.support is not None and not is_kept[sprite.support]:
                is_kept[index] = False  # its support is gone
        if is_kept.all():
            hidden = [
                float(1 - visible / solid)
                for visible, solid in zip(num_visible, num_solid, strict=True)
            ]
            return kept, ids, hidden
        kept = _select(kept, is_kept)


def paint(background: BgrImage, sprites: Sequence[Sprite]) -> BgrImage:
    """Paint sprites with their shadows on a background, from back to front."""
    canvas = background.astype(np.float32)
    side = canvas.shape[0]
    for sprite in sprites:
        if sprite.shadow is not None:
            _cast_shadow(canvas, sprite.shadow)
        rows, columns, sprite_rows, sprite_columns = _overlap(sprite, side=side)
        region = canvas[rows, columns]
        if region.size:
            alpha = repeat_channels(sprite.alpha[sprite_rows, sprite_columns])
            region += alpha * (sprite.color[sprite_rows, sprite_columns] - region)
    return np.clip(canvas + 0.5, 0, 255).astype(np.uint8)


def to_scene_objects(
    sprites: Sequence[Sprite], ids: IdMap, hidden: Sequence[float]
) -> tuple[SceneObject, ...]:
    """Convert sprites to objects, with exact masks and boxes from the id map."""
    objects: list[SceneObject] = []
    for index, (sprite, fraction) in enumerate(zip(sprites, hidden, strict=True)):
        pixels = ids == index + 1
        box = masks.to_box(pixels)
        if box is None:
            raise ValueError(f"sprite {index} has no visible pixel; drop_hidden must run first")
        objects.append(
            SceneObject(
                phrase=sprite.phrase,
                box=box,
                mask=masks.encode(pixels),
                base_y=sprite.base_y,
                depth=sprite.depth,
                support=sprite.support,
                hidden=fraction,
            )
        )
    return tuple(objects)


def _select(sprites: Sequence[Sprite], is_kept: Bool[np.ndarray, " sprites"]) -> list[Sprite]:
    new_index = np.cumsum(is_kept) - 1
    return [
        replace(sprite, support=None if sprite.support is None else int(new_index[sprite.support]))
        for sprite, kept in zip(sprites, is_kept, strict=True)
        if kept
    ]


def _id_map(sprites: Sequence[Sprite], *, side: int) -> tuple[IdMap, np.ndarray]:
    ids = np.zeros((side, side), dtype=np.uint8)
    num_solid = np.zeros(len(sprites))
    for index, sprite in enumerate(sprites):
        solid = sprite.alpha >= 0.5
        num_solid[index] = max(int(np.count_nonzero(solid)), 1)
        rows, columns, sprite_rows, sprite_columns = _overlap(sprite, side=side)
        ids[rows, columns][solid[sprite_rows, sprite_columns]] = index + 1
    return ids, num_solid


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


def _cast_shadow(
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
    flat = canvas.reshape(side, side * 3)  # numpy is fast along long rows
    flat[top:bottom, left * 3 : right * 3] *= 1 - 0.55 * down[:, None] * across.repeat(3)[None, :]
