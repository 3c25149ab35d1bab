"""Places drawn behind the things: a wall or a sky above, a floor or ground below."""

from dataclasses import dataclass

import numpy as np

from glamm.synthetic.scene import Decor, Picture, Setting


@dataclass(frozen=True, slots=True)
class Backdrop:
    """A drawn place.

    Args:
        picture: The pixels.
        setting: Which place it is.
        horizon: Where the ground begins, in sides of the picture from the top.
        decor: What a detector would find in it.
    """

    picture: Picture
    setting: Setting
    horizon: float
    decor: tuple[Decor, ...]


_SETTING = Setting("Indoor scene", "Living space", "in a living room", "People rest and meet here.")


def draw_background(rng: np.random.Generator, *, side: int) -> Backdrop:
    """Draw one of the places."""
    horizon = float(rng.uniform(0.3, 0.5))
    picture = np.empty((side, side, 3), dtype=np.float32)
    rows = int(horizon * side)
    picture[:rows] = rng.uniform(150, 210, 3)
    picture[rows:] = rng.uniform(80, 150, 3)
    picture += np.linspace(20, -20, side)[:, None, None]
    return Backdrop(np.clip(picture, 0, 255).astype(np.uint8), _SETTING, horizon, ())
