"""Array types of the painters, and the one trick that makes them fast."""

import cv2
import numpy as np
from jaxtyping import Float, Float32

Gray = Float[np.ndarray, "h w"]
Layer = Float32[np.ndarray, "h w 3"]
"""Blue, green, red, 0 to 255."""

Rgb = Float32[np.ndarray, " 3"]


def spread(gray: Gray) -> Layer:
    """Copy a field to three channels: numpy multiplies whole arrays five times as fast as over an axis of three."""
    return cv2.cvtColor(np.ascontiguousarray(gray, dtype=np.float32), cv2.COLOR_GRAY2BGR)


def filled(color: Rgb, *, rows: int, columns: int) -> Layer:
    """A layer of one colour."""
    return np.tile(np.asarray(color, dtype=np.float32), (rows, columns)).reshape(rows, columns, 3)
