"""Masks are the pixels that can be seen."""

import numpy as np
import pytest

from glamm.geometry import masks
from glamm.synthetic import canvas
from glamm.synthetic.canvas import Sprite
from glamm.synthetic.scene import NounPhrase


def sprite(color: int, left: int, top: int, side: int, *, support: int | None = None) -> Sprite:
    return Sprite(
        color=np.full((side, side, 3), color, dtype=np.float32),
        alpha=np.ones((side, side), dtype=np.float32),
        left=left,
        top=top,
        base_y=float(top + side),
        phrase=NounPhrase("box"),
        depth=1.0,
        support=support,
    )


def paint(sprites: list[Sprite]) -> tuple[np.ndarray, list[Sprite], tuple]:
    kept, ids, hidden = canvas.drop_hidden(sprites, side=64)
    image = canvas.paint(np.zeros((64, 64, 3), dtype=np.uint8), kept)
    return image, kept, canvas.to_scene_objects(kept, ids, hidden)


def test_masks_are_exactly_the_visible_pixels() -> None:
    image, _, objects = paint(
        [sprite(100, 5, 5, 20), sprite(200, 15, 12, 20), sprite(50, 50, 50, 18)]
    )
    for color, obj in zip((100, 200, 50), objects, strict=True):
        assert np.array_equal(masks.decode(obj.mask), image[..., 0] == color)
    assert objects[0].hidden == pytest.approx(10 * 13 / 400)
    assert objects[2].box == (50.0, 50.0, 64.0, 64.0)


def test_hidden_object_is_neither_drawn_nor_annotated() -> None:
    image, kept, objects = paint([sprite(100, 10, 10, 20), sprite(200, 12, 12, 20)])
    assert len(kept) == len(objects) == 1
    assert set(np.unique(image)) == {0, 200}


def test_object_is_dropped_with_its_hidden_support() -> None:
    _, kept, _ = paint(
        [sprite(100, 10, 20, 20), sprite(90, 14, 4, 12, support=0), sprite(200, 8, 22, 24)]
    )
    assert [float(item.color[0, 0, 0]) for item in kept] == [200.0]


def test_support_has_its_new_index_when_others_are_dropped() -> None:
    hidden, cover = sprite(100, 10, 10, 12), sprite(110, 8, 8, 16)
    _, kept, objects = paint(
        [hidden, cover, sprite(120, 40, 40, 20), sprite(130, 44, 26, 12, support=2)]
    )
    assert len(kept) == 3
    assert objects[2].support == 1


def test_a_sprite_outside_the_image_is_dropped() -> None:
    _, kept, _ = paint([sprite(100, 90, 90, 20), sprite(120, 10, 10, 20)])
    assert len(kept) == 1
