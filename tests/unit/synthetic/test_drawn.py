"""Single scenes: deterministic, of every kind and size."""

import numpy as np
import pytest

from glamm.synthetic.backgrounds import SETTINGS, draw_background
from glamm.synthetic.drawn import draw_scene
from glamm.synthetic.materials import COLORS, MATERIALS, shade
from glamm.synthetic.shapes import SHAPES, Shape, Sheet

LIGHT = (0.5, 0.6, 0.62)


@pytest.mark.parametrize("side", [64, 101, 384], ids="side-{}".format)
def test_scene_of_any_size_has_one_to_eight_objects(side: int) -> None:
    for seed in range(12):
        scene = draw_scene(np.random.default_rng(seed), side=side, max_objects=8)
        assert scene.image.shape == (side, side, 3)
        assert 1 <= len(scene.objects) <= 8


def test_the_same_stream_gives_the_same_scene() -> None:
    first, second = (draw_scene(np.random.default_rng(3), side=96, max_objects=8) for _ in range(2))
    assert np.array_equal(first.image, second.image)
    assert first.objects == second.objects


def test_number_of_objects_is_at_most_the_maximum() -> None:
    counts = [
        len(draw_scene(np.random.default_rng(seed), side=64, max_objects=2).objects)
        for seed in range(30)
    ]
    assert set(counts) == {1, 2}


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.noun)
def test_a_shape_fills_its_sheet(shape: Shape) -> None:
    sheet = Sheet(height_px=60.0, width=shape.width, light=LIGHT)
    shape.draw(sheet, np.random.default_rng(0))
    solid = sheet.cover >= 0.5
    rows, columns = np.flatnonzero(solid.any(1)), np.flatnonzero(solid.any(0))
    assert 52 <= rows[-1] - rows[0] <= 64
    assert columns[-1] - columns[0] >= 0.75 * 60 * shape.width
    assert not solid[:, [0, -1]].any(), "cut off at the side"
    assert not solid[[0, -1]].any(), "cut off above or below"
    assert np.ptp(sheet.brightness[solid]) > 0.1, "looks flat"


@pytest.mark.parametrize("material", MATERIALS)
@pytest.mark.parametrize("color", COLORS)
def test_colors_stay_recognizable(color: str, material: str) -> None:
    sheet = Sheet(height_px=60.0, width=1.0, light=LIGHT)
    SHAPES[0].draw(sheet, np.random.default_rng(0))
    pixels = shade(
        sheet,
        color=np.array(COLORS[color], dtype=float),
        material=material,
        rng=np.random.default_rng(1),
    )
    mean = pixels[sheet.cover > 0.9].mean(axis=0)
    # marks and highlights pull to gray: compare hues
    distance = {
        name: np.linalg.norm((mean - mean.mean()) / 255 - (np.array(other) - np.mean(other)) / 255)
        for name, other in COLORS.items()
    }
    if color not in ("white", "black"):
        assert sorted(distance, key=lambda name: distance[name]).index(color) <= 3


def test_all_settings_are_drawn() -> None:
    drawn = {
        draw_background(np.random.default_rng(seed), side=64).setting.location
        for seed in range(120)
    }
    assert drawn == {setting.setting.location for setting in SETTINGS}
