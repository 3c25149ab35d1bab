"""Array types of the painters, and two functions that make them."""

import cv2
import numpy as np
from jaxtyping import Float, Float32

Gray = Float[np.ndarray, "h w"]
Layer = Float32[np.ndarray, "h w 3"]
"""Blue, green, red, 0 to 255."""

Color = tuple[int, int, int]
"""Blue, green, red, 0 to 255."""

BgrColor = Float32[np.ndarray, " 3"]


def repeat_channels(gray: Gray) -> Layer:
    """Copy a field to three channels: numpy multiplies equal shapes five times as fast as it broadcasts over three."""
    return cv2.cvtColor(np.ascontiguousarray(gray, dtype=np.float32), cv2.COLOR_GRAY2BGR)


def constant_layer(color: BgrColor, *, rows: int, columns: int) -> Layer:
    """A layer of one color."""
    return np.tile(np.asarray(color, dtype=np.float32), (rows, columns)).reshape(rows, columns, 3)
