"""The part of a background above the horizon: walls of rooms, and skies with what is in front of them."""

from collections.abc import Callable

import cv2
import numpy as np

from glamm.synthetic.array_types import BgrColor, Layer, constant_layer, repeat_channels
from glamm.synthetic.ground_textures import noise, tone
from glamm.synthetic.scene import FloatingObject

Backdrop = tuple[Layer, tuple[FloatingObject, ...]]
BackdropPainter = Callable[[np.random.Generator, int, int], Backdrop]
"""From a random generator, rows and side to the pixels above the horizon and the floating objects in them."""

_WALLS = (
    (190, 205, 212),
    (200, 190, 180),
    (175, 200, 185),
    (185, 185, 205),
    (165, 180, 200),
    (150, 155, 160),
)


def room(rng: np.random.Generator, rows: int, side: int) -> Backdrop:
    """A papered wall, often with a window."""
    wall = _wall(rng, rows, side)
    if rng.random() < 0.6:
        period = side / float(rng.uniform(9, 18))
        stripe = np.sin(np.arange(side, dtype=np.float32) * (2 * np.pi / period))
        wall *= _columns(1 + float(rng.uniform(0.01, 0.035)) * np.sign(stripe), rows)
    floating_objects = (_window(wall, rng),) if rng.random() < 0.55 else ()
    _skirting(wall)
    return wall, tuple(item for item in floating_objects if item is not None)


def office(rng: np.random.Generator, rows: int, side: int) -> Backdrop:
    """A plain wall with a pin board."""
    wall = _wall(rng, rows, side)
    board = _panel(rng, rows, side, share=(0.3, 0.45))
    if board is None:
        return wall, ()
    left, top, right, bottom = board
    wall[top:bottom, left:right] = tone(rng, (105, 150, 190))
    for _ in range(4):
        x, y = (
            int(rng.integers(left, max(right - 8, left + 1))),
            int(rng.integers(top, max(bottom - 8, top + 1))),
        )
        wall[y : min(y + side // 16, bottom), x : min(x + side // 20, right)] = tone(
            rng, (215, 225, 228), max_change=30.0
        )
    cv2.rectangle(
        wall, (left, top), (right - 1, bottom - 1), (60, 75, 90), max(1, side // 128), cv2.LINE_AA
    )
    return wall, (FloatingObject("board", _box(board)),)


def bricks(rng: np.random.Generator, rows: int, side: int) -> Backdrop:
    """A brick wall."""
    height = side / float(rng.uniform(18, 26))
    y = np.arange(rows, dtype=np.float32)[:, None] / height
    x = np.arange(side, dtype=np.float32)[None, :] / (2.3 * height) + 0.5 * (np.floor(y) % 2)
    is_mortar = (y % 1 < 0.14) | (x % 1 < 0.06)
    brick = (np.floor(y) * 31 + np.floor(x) * 17).astype(np.int64) % 64
    color = ((95, 110, 160), (120, 135, 150), (140, 150, 165))[int(rng.integers(3))]
    wall = constant_layer(tone(rng, color), rows=rows, columns=side)
    wall *= repeat_channels(1 + 0.08 * rng.uniform(-1, 1, 64)[brick])
    wall[is_mortar] = wall[is_mortar] * 0.5 + 90
    return wall, ()


def hall(rng: np.random.Generator, rows: int, side: int) -> Backdrop:
    """A light wall with pillars."""
    wall = _wall(rng, rows, side)
    period = side / float(rng.uniform(2.5, 4.5))
    location = (np.arange(side, dtype=np.float32) + float(rng.uniform(0, period))) % period / period
    pillar = np.where(location < 0.22, 0.9 + 0.25 * np.sin(location / 0.22 * np.pi), 1.0)
    wall *= _columns(pillar, rows)
    return wall, ()


def town(rng: np.random.Generator, rows: int, side: int) -> Backdrop:
    """A sky above houses with windows."""
    sky, _ = _sky(rng, rows, side)
    floating_objects: list[FloatingObject] = []
    x = -int(rng.integers(side // 10))
    while x < side:
        width, height = int(rng.uniform(0.1, 0.22) * side), int(rng.uniform(0.25, 0.85) * rows)
        wall = tone(rng, (130, 135, 142), max_change=28.0)
        top = rows - height
        right = min(x + width, side)
        sky[top:, max(x, 0) : right] = wall
        cell = max(side // 32, 4)
        for row in range(top + cell // 2, rows - cell // 2, cell):
            sky[row : row + cell // 2, max(x + cell // 2, 0) : max(right - cell // 2, 0)][
                :, :: max(cell // 2, 2)
            ] *= 0.72
        if width * height > 0.02 * side * side:
            floating_objects.append(
                FloatingObject(
                    "building", (float(max(x, 0)), float(top), float(right), float(rows))
                )
            )
        x += width + int(rng.integers(side // 20 + 1))
    return sky, tuple(floating_objects[:2])


def hills(rng: np.random.Generator, rows: int, side: int) -> Backdrop:
    """A sky above green hills."""
    sky, sun = _sky(rng, rows, side)
    for share, color in ((0.5, (150, 165, 130)), (0.28, (95, 140, 100))):
        _ridge(sky, rng, share=share, color=tone(rng, color), steps=6, rough=0.25)
    return sky, sun


def mountains(rng: np.random.Generator, rows: int, side: int) -> Backdrop:
    """A sky above mountains."""
    sky, sun = _sky(rng, rows, side)
    _ridge(sky, rng, share=0.7, color=tone(rng, (165, 150, 138)), steps=9, rough=0.5)
    _ridge(sky, rng, share=0.35, color=tone(rng, (120, 125, 98)), steps=14, rough=0.35)
    return sky, sun


def sea(rng: np.random.Generator, rows: int, side: int) -> Backdrop:
    """A sky above water."""
    sky, sun = _sky(rng, rows, side)
    band = int(rows * float(rng.uniform(0.2, 0.38)))
    waves = noise(rng, shape=(band, side), side=side, grain_px=1.2)
    depth = np.linspace(1.05, 0.9, band, dtype=np.float32)[:, None]
    water = constant_layer(tone(rng, (165, 128, 70)), rows=band, columns=side)
    sky[rows - band :] = water * repeat_channels(depth * (1 + 0.07 * waves))
    return sky, sun


def grandstand(rng: np.random.Generator, rows: int, side: int) -> Backdrop:
    """Rows of seats with a crowd, below the sky."""
    sky, sun = _sky(rng, rows, side)
    top = int(rows * float(rng.uniform(0.35, 0.55)))
    crowd = noise(rng, shape=(rows - top, side), side=side, grain_px=1.5)
    seats = (np.arange(rows - top) % max(side // 40, 3) > 0)[:, None]
    color = constant_layer(tone(rng, (140, 128, 125)), rows=rows - top, columns=side)
    sky[top:] = color * repeat_channels(np.where(seats, 1 + 0.14 * crowd, 0.7))
    return sky, sun


def _columns(profile: np.ndarray, rows: int) -> Layer:
    """A factor that changes along x only."""
    return repeat_channels(np.broadcast_to(profile, (rows, profile.size)))


def _wall(rng: np.random.Generator, rows: int, side: int) -> Layer:
    layer = constant_layer(
        tone(rng, _WALLS[int(rng.integers(len(_WALLS)))]), rows=rows, columns=side
    )
    left, right = rng.uniform(0.88, 1.1, 2)
    fall = np.linspace(left, right, side, dtype=np.float32)
    plaster = noise(rng, shape=(rows, side), side=side, grain_px=1.0)
    layer *= repeat_channels(fall[None, :] * (1 + 0.012 * plaster))
    return layer


def _sky(rng: np.random.Generator, rows: int, side: int) -> Backdrop:
    high = tone(rng, ((225, 165, 105), (235, 190, 140), (200, 180, 165))[int(rng.integers(3))])
    low = tone(rng, ((240, 225, 205), (215, 225, 240))[int(rng.integers(2))])
    fall = np.linspace(0, 1, rows, dtype=np.float32)[:, None, None]
    sky = np.repeat(high * (1 - fall) + low * fall, side, axis=1)
    cloud = noise(rng, shape=(rows, side), side=side, grain_px=16.0)
    sky += (255 - sky) * repeat_channels(0.75 * np.clip(cloud - 0.4, 0, 1))
    if rng.random() > 0.3:
        return sky, ()
    radius = int(0.035 * side)
    x, y = int(rng.uniform(0.1, 0.9) * side), int(rng.uniform(0.15, 0.4) * rows) + radius
    cv2.circle(sky, (x, y), radius, (190, 240, 253), -1, cv2.LINE_AA)
    return sky, (
        FloatingObject(
            "sun",
            (float(x - radius), float(y - radius), float(x + radius + 1), float(y + radius + 1)),
        ),
    )


def _ridge(
    sky: Layer,
    rng: np.random.Generator,
    *,
    share: float,
    color: BgrColor,
    steps: int,
    rough: float,
) -> None:
    rows, side = sky.shape[:2]
    heights = rows * (1 - share * (1 - rough + rough * 2 * rng.random(steps + 1)))
    x = np.arange(side, dtype=np.float32)
    line = np.interp(x, np.linspace(0, side, steps + 1), heights)
    if rough < 0.3:  # hills are round, mountains are not
        reach = side // 12
        window = np.full(2 * reach + 1, 1 / (2 * reach + 1))
        line = np.convolve(np.pad(line, reach, mode="edge"), window, "valid")
    cover = np.clip(np.arange(rows, dtype=np.float32)[:, None] - line[None, :side] + 0.5, 0, 1)
    top = max(int(line.min()) - 1, 0)
    part = sky[top:]
    part += repeat_channels(cover[top:]) * (
        constant_layer(color, rows=rows - top, columns=side) - part
    )


def _panel(
    rng: np.random.Generator, rows: int, side: int, *, share: tuple[float, float]
) -> tuple[int, int, int, int] | None:
    width, height = int(rng.uniform(*share) * side), int(rng.uniform(0.5, 0.7) * rows)
    if height < 8 or width >= side - 4:
        return None
    left, top = int(rng.integers(2, side - width - 1)), int(0.12 * rows)
    return left, top, left + width, top + height


def _window(wall: Layer, rng: np.random.Generator) -> FloatingObject | None:
    rows, side = wall.shape[:2]
    panel = _panel(rng, rows, side, share=(0.18, 0.32))
    if panel is None:
        return None
    left, top, right, bottom = panel
    fall = np.linspace(0, 1, bottom - top, dtype=np.float32)[:, None, None]
    wall[top:bottom, left:right] = (
        tone(rng, (235, 195, 150)) * (1 - fall) + tone(rng, (235, 230, 220)) * fall
    )
    thick, frame = max(2, side // 85), (232, 236, 238)
    cv2.rectangle(wall, (left, top), (right - 1, bottom - 1), frame, thick, cv2.LINE_AA)
    middle = (left + right) // 2
    cv2.line(wall, (middle, top), (middle, bottom - 1), frame, max(1, thick // 2), cv2.LINE_AA)
    return FloatingObject("window", _box(panel))


def _skirting(wall: Layer) -> None:
    rows, side = wall.shape[:2]
    wall[rows - max(side // 50, 2) :] *= 0.82


def _box(panel: tuple[int, int, int, int]) -> tuple[float, float, float, float]:
    left, top, right, bottom = (float(value) for value in panel)
    return left, top, right, bottom
