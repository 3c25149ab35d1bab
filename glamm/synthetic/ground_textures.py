"""The part of a background below the horizon: floors and grounds in perspective."""

from collections.abc import Callable
from functools import lru_cache

import cv2
import numpy as np

from glamm.synthetic.array_types import BgrColor, Color, Gray, Layer, repeat_channels

_NOISE_SEED = 20_231  # of one noise field for all scenes; a scene takes a window of it
_NEAR = 0.12  # height of the camera above the ground: how fast patterns shrink with distance


@lru_cache(maxsize=32)
def _noise(side: int, grain_px: float) -> Gray:
    white = (
        np.random.default_rng(_NOISE_SEED).standard_normal((2 * side, 2 * side)).astype(np.float32)
    )
    if grain_px:
        white = cv2.GaussianBlur(white, (0, 0), grain_px)
    return white / white.std()


def noise(
    rng: np.random.Generator, *, shape: tuple[int, int], side: int, grain_px: float = 0.0
) -> Gray:
    """A window of smooth noise with mean 0 and deviation 1.

    Args:
        rng: Where the window lies.
        shape: Rows and columns of the window, each at most `side`.
        side: Side of the image in pixels.
        grain_px: Size of the grain in pixels of an image of 256; 0 for a new value each pixel.
    """
    field = _noise(side, grain_px * side / 256)
    top, left = (int(rng.integers(2 * side - length + 1)) for length in shape)
    return field[top : top + shape[0], left : left + shape[1]]


def tone(rng: np.random.Generator, color: Color, *, max_change: float = 14.0) -> BgrColor:
    """A color near another one: brightness changes for all channels alike, hue by a third of that.

    Args:
        rng: Source of randomness.
        color: The other color.
        max_change: Largest change of brightness, of 255.
    """
    change = rng.uniform(-max_change, max_change) + rng.uniform(-max_change / 3, max_change / 3, 3)
    return (np.array(color) + change).astype(np.float32)


class Ground:
    """A plane in perspective, as coordinates of its pixels.

    Args:
        rng: Where the camera is, from left to right.
        rows: Height of the ground in pixels.
        side: Width of the image in pixels.
    """

    def __init__(self, rng: np.random.Generator, *, rows: int, side: int) -> None:
        self.rows, self.side = rows, side
        self.nearness = np.linspace(0, 1, rows, dtype=np.float32)[:, None]
        self.depth = 1 / (self.nearness + _NEAR)
        middle = float(rng.uniform(0.35, 0.65))
        self.across = (
            (np.arange(side, dtype=np.float32)[None, :] / side - middle) * self.depth * (1 + _NEAR)
        )

    def plain(self, color: BgrColor, *, far: float = 0.82) -> Layer:
        """One color, darker or lighter towards the horizon."""
        fall = far + (1 - far) * self.nearness
        return (fall * np.tile(color, self.side)).reshape(self.rows, self.side, 3)

    def soften(self, pattern: Gray) -> Gray:
        """Fade a pattern where it is too fine to see."""
        return pattern * np.minimum(1.0, 2.2 * self.nearness + 0.15)


def planks(ground: Ground, rng: np.random.Generator) -> Layer:
    """Wooden boards that run into the depth."""
    board = np.floor(ground.across * float(rng.uniform(5, 8))).astype(np.int64)
    shades = rng.uniform(-1, 1, 64).astype(np.float32)[board % 64]
    grain = noise(rng, shape=(ground.rows, ground.side), side=ground.side, grain_px=2.0)
    layer = ground.plain(
        tone(rng, ((70, 110, 150), (95, 130, 165), (50, 78, 112))[int(rng.integers(3))])
    )
    return layer * repeat_channels(1 + 0.1 * ground.soften(shades) + 0.03 * grain)


def tiles(ground: Ground, rng: np.random.Generator) -> Layer:
    """Square tiles, light and dark."""
    step = float(rng.uniform(3, 5))
    checker = (np.floor(ground.across * step) + np.floor(ground.depth * step * 0.45)) % 2 * 2 - 1
    layer = ground.plain(
        tone(rng, ((165, 170, 175), (150, 160, 178), (140, 150, 140))[int(rng.integers(3))])
    )
    return layer * repeat_channels(
        1 + float(rng.uniform(0.05, 0.13)) * ground.soften(checker.astype(np.float32))
    )


def smooth(ground: Ground, rng: np.random.Generator) -> Layer:
    """A table top or a concrete floor."""
    cloud = noise(rng, shape=(ground.rows, ground.side), side=ground.side, grain_px=6.0)
    grain = noise(rng, shape=(ground.rows, ground.side), side=ground.side)
    layer = ground.plain(
        tone(rng, ((125, 130, 134), (150, 152, 155), (100, 108, 116))[int(rng.integers(3))])
    )
    return layer * repeat_channels(1 + 0.04 * cloud + 0.025 * grain)


def desk(ground: Ground, rng: np.random.Generator) -> Layer:
    """Polished wood whose grain runs across."""
    wave = np.sin(
        ground.depth * 9
        + 2.5 * noise(rng, shape=(ground.rows, ground.side), side=ground.side, grain_px=9.0)
    )
    layer = ground.plain(tone(rng, ((60, 95, 140), (85, 120, 160))[int(rng.integers(2))]), far=0.9)
    return layer * repeat_channels(1 + 0.05 * ground.soften(wave.astype(np.float32)))


def grass(ground: Ground, rng: np.random.Generator) -> Layer:
    """A meadow."""
    blades = noise(rng, shape=(ground.rows, ground.side), side=ground.side, grain_px=0.8)
    patches = noise(rng, shape=(ground.rows, ground.side), side=ground.side, grain_px=9.0)
    layer = ground.plain(tone(rng, (72, 132, 108)), far=1.08)
    return layer * repeat_channels(1 + 0.1 * ground.soften(blades) + 0.06 * patches)


def furrows(ground: Ground, rng: np.random.Generator) -> Layer:
    """A plowed field."""
    wave = np.sin(ground.across * float(rng.uniform(22, 32)))
    clods = noise(rng, shape=(ground.rows, ground.side), side=ground.side, grain_px=1.0)
    layer = ground.plain(tone(rng, ((72, 104, 134), (84, 140, 150))[int(rng.integers(2))]), far=1.0)
    return layer * repeat_channels(1 + 0.1 * ground.soften(wave) + 0.05 * clods)


def sand(ground: Ground, rng: np.random.Generator) -> Layer:
    """A beach."""
    ripples = np.sin(
        ground.depth * 16
        + 2 * noise(rng, shape=(ground.rows, ground.side), side=ground.side, grain_px=8.0)
    )
    grain = noise(rng, shape=(ground.rows, ground.side), side=ground.side)
    layer = ground.plain(tone(rng, (150, 185, 208)), far=0.95)
    return layer * repeat_channels(
        1 + 0.03 * ground.soften(ripples.astype(np.float32)) + 0.025 * grain
    )


def road(ground: Ground, rng: np.random.Generator) -> Layer:
    """Asphalt with a broken white line and green verges."""
    grain = noise(rng, shape=(ground.rows, ground.side), side=ground.side)
    layer = ground.plain(tone(rng, (92, 92, 94)), far=1.1) * repeat_channels(1 + 0.05 * grain)
    is_dash = (np.abs(ground.across) < 0.02) & ((ground.depth * 1.6) % 2 < 1.1)
    is_verge = np.abs(ground.across) > float(rng.uniform(0.62, 0.8))
    layer[is_verge] = layer[is_verge] * 0.35 + np.array([60, 105, 88], dtype=np.float32)
    layer[is_dash] += 120
    return layer


def pitch(ground: Ground, rng: np.random.Generator) -> Layer:
    """A mown playing field with lines."""
    stripe = (np.floor(ground.across * float(rng.uniform(2.5, 4))) % 2 * 2 - 1).astype(np.float32)
    blades = noise(rng, shape=(ground.rows, ground.side), side=ground.side, grain_px=0.6)
    layer = ground.plain(tone(rng, (66, 140, 78)), far=1.0) * repeat_channels(
        1 + 0.07 * stripe + 0.04 * blades
    )
    across, along = float(rng.uniform(1.4, 3.5)), float(rng.uniform(-0.5, 0.5))
    is_line = (np.abs(ground.depth - across) < 0.012 * ground.depth**1.5) | (
        np.abs(ground.across - along) < 0.014
    )
    layer[is_line] += 70
    return layer


GroundPainter = Callable[[Ground, np.random.Generator], Layer]
