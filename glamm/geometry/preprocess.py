"""From an image to the uint8 pixels that the two image encoders see.

Both return uint8: the encoders normalise on their own device, which moves a quarter of the bytes.
"""

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from glamm.typing import Box, Size

Pixels = UInt8[np.ndarray, "height width 3"]


def global_pixels(
    image: Pixels, *, side: int, is_cropped: bool
) -> UInt8[np.ndarray, "3 side side"]:
    """Bring an image to the square of the global image encoder.

    Args:
        image: RGB.
        side: Length of the square in pixels.
        is_cropped: True resizes the shortest side (bicubic) and keeps the centre; False squashes the whole
            image into the square, so that nothing is out of sight and boxes in units of the image fit.

    Returns:
        RGB, channels first.

    Upstream: the release crops although it normalises boxes by the whole image, so that regions and features of
        images that are not square do not meet. We squash unless `compat.crops_global_image` is set.
    Source: CLIPImageProcessor of openai/clip-vit-large-patch14-336.
    """
    height, width = image.shape[:2]
    resized = Image.fromarray(image)
    if not is_cropped:
        squashed = resized.resize((side, side), Image.Resampling.BICUBIC)
        return np.ascontiguousarray(np.asarray(squashed).transpose(2, 0, 1))
    longest = int(side * max(height, width) / min(height, width))
    new_height, new_width = (side, longest) if height <= width else (longest, side)
    pixels = np.asarray(resized.resize((new_width, new_height), Image.Resampling.BICUBIC))
    top, left = (new_height - side) // 2, (new_width - side) // 2
    return np.ascontiguousarray(pixels[top : top + side, left : left + side].transpose(2, 0, 1))


def longest_side_size(size: Size, *, side: int) -> Size:
    """(height, width) after the longest side became `side`, halves rounded up.

    Source: segment_anything.utils.transforms.ResizeLongestSide.get_preprocess_shape.
    """
    height, width = size
    scale = side / max(height, width)
    return max(int(height * scale + 0.5), 1), max(int(width * scale + 0.5), 1)


def grounding_pixels(image: Pixels, *, side: int) -> tuple[UInt8[np.ndarray, "3 side side"], Size]:
    """Bring an image to the square of the grounding encoder: longest side resized, top left, zeros around.

    Args:
        image: RGB.
        side: Length of the square in pixels.

    Returns:
        RGB, channels first, and the (height, width) that the image fills.

    Source: ResizeLongestSide.apply_image and Sam.preprocess; the padding is zeroed after the normalisation, in the model.
    """
    resized_size = longest_side_size((image.shape[0], image.shape[1]), side=side)
    resized = Image.fromarray(image).resize(
        (resized_size[1], resized_size[0]), Image.Resampling.BILINEAR
    )
    square = np.zeros((3, side, side), dtype=np.uint8)
    square[:, : resized_size[0], : resized_size[1]] = np.asarray(resized).transpose(2, 0, 1)
    return square, resized_size


def crop_box(box: Box, *, size: Size) -> Box:
    """Say where a box in units of the image lies in the centre crop, in units of the crop; it may reach outside."""
    height, width = size
    shortest = min(height, width)
    left, top = (width - shortest) / 2, (height - shortest) / 2
    x1, y1, x2, y2 = box
    return (
        (x1 * width - left) / shortest,
        (y1 * height - top) / shortest,
        (x2 * width - left) / shortest,
        (y2 * height - top) / shortest,
    )
