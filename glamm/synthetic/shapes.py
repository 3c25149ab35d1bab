"""Solid shapes, lit from one side: coverage and brightness on a small sheet.

Units: the height of the shape is 1, x is -0.5 to 0.5 around its axis, y goes up from its base.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float

from glamm.synthetic.array_types import Gray

_SUBSAMPLES = 4  # per pixel and axis
_MARGIN_PX = 2
_AMBIENT = 0.42

Outline = Float[np.ndarray, "corners 2"] | Sequence[tuple[float, float]]


class Sheet:
    """A patch on which a shape is built up from lit faces.

    Args:
        height_px: Height of the shape in pixels.
        width: Of the shape, in heights.
        light: Direction to the light: x to the right, y up, z to the viewer; length 1.
    """

    def __init__(
        self,
        *,
        height_px: float,
        width: float,
        light: tuple[float, float, float],
    ) -> None:
        self._scale = height_px
        self.light_direction = light
        rows, columns = (
            int(np.ceil(height_px)) + 2 * _MARGIN_PX,
            int(np.ceil(height_px * width)) + 2 * _MARGIN_PX,
        )
        self.axis_x = columns / 2 - 0.5
        self.base_y = rows - _MARGIN_PX - 0.5
        self.x = ((np.arange(columns, dtype=np.float32) - self.axis_x) / height_px)[None, :].repeat(
            rows, 0
        )
        self.y = ((self.base_y - np.arange(rows, dtype=np.float32)) / height_px)[:, None].repeat(
            columns, 1
        )
        self.cover = np.zeros((rows, columns), dtype=np.float32)
        self.brightness = np.zeros((rows, columns), dtype=np.float32)

    def area(self, outline: Outline) -> Gray:
        """How much of each pixel an outline covers, 0 to 1."""
        corners = np.asarray(outline, dtype=np.float64)
        pixels = np.stack(
            [self.axis_x + corners[:, 0] * self._scale, self.base_y - corners[:, 1] * self._scale],
            axis=1,
        )
        rows, columns = self.cover.shape
        stencil = np.zeros((rows * _SUBSAMPLES, columns * _SUBSAMPLES), dtype=np.uint8)
        # OpenCV's own anti-aliasing leaves bumps on short edges: count subpixels instead
        fixed = np.round((pixels + 0.5) * _SUBSAMPLES - 0.5).astype(np.int32)
        cv2.fillPoly(stencil, [fixed], 255)
        return (
            cv2.resize(stencil, (columns, rows), interpolation=cv2.INTER_AREA).astype(np.float32)
            / 255
        )

    def fill(self, outline: Outline, brightness: Gray | float) -> None:
        """Paint a face over the faces before it."""
        self.lay(self.area(outline), brightness)

    def lay(self, cover: Gray, brightness: Gray | float) -> None:
        """Paint a face of known coverage over the faces before it."""
        self.brightness += cover * (brightness - self.brightness)
        # faces that share an edge each cover part of its pixels: together they cover them
        self.cover = np.minimum(self.cover + cover, 1.0)

    def cut(self, cover: Gray) -> None:
        """Make a hole."""
        self.cover *= 1 - cover

    def face(self, normal_x: float, normal_y: float, normal_z: float) -> float:
        """Brightness of a flat face."""
        x, y, z = self.light_direction
        length = float(np.hypot(np.hypot(normal_x, normal_y), normal_z))
        return _AMBIENT + 0.75 * max(0.0, (normal_x * x + normal_y * y + normal_z * z) / length)

    def curved(self, normal_x: Gray, normal_y: Gray | float) -> Gray:
        """Brightness of a curved face with a highlight, from the parts of its normals in the image plane."""
        x, y, z = self.light_direction
        normal_z = np.sqrt(np.maximum(0.0, 1.0 - normal_x**2 - np.square(normal_y)))
        facing = np.maximum(0.0, normal_x * x + normal_y * y + normal_z * z)
        return (_AMBIENT - 0.08 + 0.72 * facing + 0.55 * facing**24).astype(np.float32)

    def round(self, half_width: Gray | float) -> Gray:
        """Brightness of a solid of revolution with this radius at each height."""
        return self.curved(np.clip(self.x / np.maximum(half_width, 1e-3), -1, 1), 0.15)


def ellipse(
    x: float,
    y: float,
    radius_x: float,
    radius_y: float,
    *,
    start: float = 0.0,
) -> np.ndarray:
    """Corners of an ellipse, counter-clockwise from the angle `start` (0 is right) to the right."""
    angles = np.linspace(start, 2 * np.pi, 40)
    return np.stack([x + radius_x * np.cos(angles), y + radius_y * np.sin(angles)], axis=1)


def ball(sheet: Sheet, rng: np.random.Generator) -> None:  # noqa: ARG001 - all balls are alike
    """A sphere."""
    sheet.fill(ellipse(0.0, 0.5, 0.5, 0.5), sheet.curved(sheet.x / 0.5, (sheet.y - 0.5) / 0.5))


def cube(sheet: Sheet, rng: np.random.Generator) -> None:
    """A cube seen from above, one edge to the viewer."""
    corner, rise, height = float(rng.uniform(-0.2, 0.2)), 0.16, 0.66
    left, front, right = (-0.5, rise * (1 + corner)), (corner, 0.0), (0.5, rise * (1 - corner))
    back = (left[0] + right[0] - front[0], left[1] + right[1] - front[1])
    up = [(x, y + height) for x, y in (left, front, right, back)]
    sheet.fill([left, front, up[1], up[0]], sheet.face(-0.75, 0.0, 0.65))
    sheet.fill([front, right, up[2], up[1]], sheet.face(0.75, 0.0, 0.65))
    sheet.fill(up, sheet.face(0.0, 1.0, 0.3) * 1.12)


def cylinder(sheet: Sheet, rng: np.random.Generator) -> None:
    """An upright cylinder seen from above."""
    radius = float(rng.uniform(0.32, 0.38))
    flat = radius * 0.3
    body = np.concatenate(
        [ellipse(0.0, flat, radius, flat, start=np.pi), [(radius, 1 - flat), (-radius, 1 - flat)]]
    )
    sheet.fill(body, sheet.round(radius))
    sheet.fill(ellipse(0.0, 1 - flat, radius, flat), sheet.face(0.0, 1.0, 0.3) * 1.12)


def cone(sheet: Sheet, rng: np.random.Generator) -> None:
    """An upright cone."""
    radius = float(rng.uniform(0.38, 0.46))
    flat = radius * 0.28
    outline = np.concatenate([ellipse(0.0, flat, radius, flat, start=np.pi), [(0.0, 1.0)]])
    sheet.fill(outline, sheet.round(radius * (1.02 - sheet.y)))


def pyramid(sheet: Sheet, rng: np.random.Generator) -> None:
    """A square pyramid, one edge to the viewer."""
    corner = float(rng.uniform(-0.22, 0.22))
    left, front, right = (-0.55, 0.16 * (1 + corner)), (corner, 0.0), (0.55, 0.16 * (1 - corner))
    tip = (0.0, 1.0)
    sheet.fill([left, front, tip], sheet.face(-0.75, 0.35, 0.6))
    sheet.fill([front, right, tip], sheet.face(0.75, 0.35, 0.6))


def ring(sheet: Sheet, rng: np.random.Generator) -> None:
    """A torus standing upright."""
    inner = float(rng.uniform(0.22, 0.28))
    middle, half = (0.5 + inner) / 2, (0.5 - inner) / 2
    up = sheet.y - 0.5
    distance = np.maximum(np.hypot(sheet.x, up), 1e-3)
    slope = np.clip((distance - middle) / half, -1, 1)
    cover = sheet.area(ellipse(0.0, 0.5, 0.5, 0.5)) * (
        1 - sheet.area(ellipse(0.0, 0.5, inner, inner))
    )
    sheet.lay(cover, sheet.curved(slope * sheet.x / distance, slope * up / distance))


def star(sheet: Sheet, rng: np.random.Generator) -> None:
    """A star with five folded points."""
    turn, middle = np.pi / 2 + float(rng.uniform(-0.15, 0.15)), 0.46
    angles = turn + np.arange(11) * np.pi / 5
    radius = np.where(np.arange(11) % 2 == 0, 0.54, 0.25)
    corners = np.stack([radius * np.cos(angles), middle + radius * np.sin(angles)], axis=1)
    facets = [sheet.face(float(y), float(-x), 0.45) for x, y in np.diff(corners, axis=0)]
    angle = (np.arctan2(sheet.y - middle, sheet.x) - turn) % (2 * np.pi)
    facet = np.minimum((angle / (np.pi / 5)).astype(np.int64), 9)
    sheet.fill(corners, np.array(facets, dtype=np.float32)[facet])


def heart(sheet: Sheet, rng: np.random.Generator) -> None:
    """A cushion in the form of a heart."""
    angle = np.linspace(0, 2 * np.pi, 60)
    x = 16 * np.sin(angle) ** 3
    y = 13 * np.cos(angle) - 5 * np.cos(2 * angle) - 2 * np.cos(3 * angle) - np.cos(4 * angle)
    wide = float(rng.uniform(0.94, 1.06))
    cover = sheet.area(np.stack([x / 29 * wide, (y + 17) / 29], axis=1))
    sheet.lay(cover, _cushion(sheet, cover))


def mug(sheet: Sheet, rng: np.random.Generator) -> None:
    """A mug with its handle on one side."""
    hand = 1.0 if rng.random() < 0.5 else -1.0
    radius, axis, flat = 0.36, -0.1 * hand, 0.1
    handle_x = axis + hand * (radius - 0.02)
    handle = sheet.area(ellipse(handle_x, 0.48, 0.26, 0.3)) * (
        1 - sheet.area(ellipse(handle_x, 0.48, 0.15, 0.18))
    )
    sheet.lay(handle, sheet.face(0.3 * hand, 0.2, 0.9) * 0.9)
    body = np.concatenate(
        [
            ellipse(axis, flat, radius, flat, start=np.pi),
            [(axis + radius, 1 - flat), (axis - radius, 1 - flat)],
        ]
    )
    sheet.fill(body, sheet.curved(np.clip((sheet.x - axis) / radius, -1, 1), 0.15))
    sheet.fill(ellipse(axis, 1 - flat, radius, flat), sheet.face(0.0, 1.0, 0.5) * 1.05)
    sheet.fill(ellipse(axis, 1 - flat - 0.012, radius * 0.84, flat * 0.78), 0.3)


def bottle(sheet: Sheet, rng: np.random.Generator) -> None:
    """A bottle with a neck and a cap."""
    body, neck, shoulder = float(rng.uniform(0.18, 0.22)), 0.075, float(rng.uniform(0.52, 0.6))
    heights = np.array([0.0, 0.05, shoulder, shoulder + 0.16, 0.88, 0.88, 1.0, 1.0])
    radii = np.array([body * 0.8, body, body, neck, neck, neck * 1.35, neck * 1.35, 0.0])
    outline = np.concatenate([np.stack([radii, heights], 1), np.stack([-radii, heights], 1)[::-1]])
    profile = np.interp(sheet.y, heights[:5], radii[:5]).astype(np.float32)
    light = sheet.round(profile)
    light[sheet.y > 0.885] *= 0.55
    sheet.fill(outline, light)


def _cushion(sheet: Sheet, cover: Gray) -> Gray:
    depth = cv2.distanceTransform((cover > 0.4).astype(np.uint8), cv2.DIST_L2, 3)
    bulge = cv2.GaussianBlur(np.sqrt(depth), (0, 0), max(1.0, 0.03 * cover.shape[0]))
    # derivative of the surface per pixel; 1.4 makes the rim about as steep as a ball's
    slope_x, slope_y = (
        cv2.Sobel(bulge, cv2.CV_32F, 1, 0, scale=1.4 / 8),
        cv2.Sobel(bulge, cv2.CV_32F, 0, 1, scale=1.4 / 8),
    )
    length = np.sqrt(1 + 4 * (slope_x**2 + slope_y**2))
    return sheet.curved(-2 * slope_x / length, 2 * slope_y / length)


@dataclass(frozen=True, slots=True)
class Shape:
    """A kind of object that can be drawn.

    Args:
        noun: Its name.
        plural: Its name for several.
        draw: Paints it on a sheet.
        width: Width of its sheet, as a multiple of its height.
        stretch: Factor of the height, so that all kinds have about the same area at one size.
        top_surface: Height of a flat top on which another object fits, as a fraction of its height; None without one.
        affordance: GranD's affordance class and a description of it; None for none.
    """

    noun: str
    plural: str
    draw: Callable[[Sheet, np.random.Generator], None]
    width: float
    stretch: float = 1.0
    top_surface: float | None = None
    affordance: tuple[str, str] | None = None


_PLAY = ("Play-1", "something to throw, catch or roll in a game")
_CONTAIN = ("Contain-1", "something that holds a liquid or small things")

SHAPES: tuple[Shape, ...] = (
    Shape("ball", "balls", ball, 1.0, 0.98, None, _PLAY),
    Shape(
        "cube",
        "cubes",
        cube,
        1.0,
        1.02,
        0.8,
        ("Support-1", "a flat top on which other things can stand"),
    ),
    Shape(
        "cylinder",
        "cylinders",
        cylinder,
        0.78,
        1.1,
        0.89,
        ("Support-1", "a flat top on which other things can stand"),
    ),
    Shape("cone", "cones", cone, 0.94, 1.12),
    Shape("pyramid", "pyramids", pyramid, 1.12, 1.0),
    Shape("ring", "rings", ring, 1.0, 1.05, None, _PLAY),
    Shape("star", "stars", star, 1.1, 1.08),
    Shape("heart", "hearts", heart, 1.2, 0.98),
    Shape("mug", "mugs", mug, 1.06, 0.98, None, _CONTAIN),
    Shape("bottle", "bottles", bottle, 0.48, 1.5, None, _CONTAIN),
)
