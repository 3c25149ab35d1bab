"""Resizes an image to the uint8 pixels that the two image encoders take.

Both functions return uint8: the encoders normalize on their device, so a quarter of the bytes is moved there.
"""

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from glamm.geometry.image_files import Pixels
from glamm.typing import Size


def global_pixels(
    image: Pixels, *, side: int, is_cropped: bool
) -> UInt8[np.ndarray, "3 side side"]:
    """Resize an image to the square of the global image encoder.

    Args:
        image: RGB.
        side: Length of the square in pixels.
        is_cropped: True resizes the shortest side (bicubic) and keeps the center. False squashes the whole image into
            the square, so that nothing is cut off and boxes in fractions of the image fit.

    Returns:
        RGB, channels first.

    Upstream: the release crops although it normalizes boxes by the whole image, so that the regions of images that
        are not square lie at the wrong features. We squash unless `compat.crops_global_image` is set.
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
    """(height, width) after resizing the longest side to `side`; halves are rounded up.

    Source: segment_anything.utils.transforms.ResizeLongestSide.get_preprocess_shape.
    """
    height, width = size
    scale = side / max(height, width)
    return max(int(height * scale + 0.5), 1), max(int(width * scale + 0.5), 1)


def grounding_pixels(image: Pixels, *, side: int) -> tuple[UInt8[np.ndarray, "3 side side"], Size]:
    """Resize an image by its longest side and pad it with zeros, right and below, to the grounding encoder's square.

    Args:
        image: RGB.
        side: Length of the square in pixels.

    Returns:
        RGB, channels first, and the (height, width) of the image in the square.

    Source: ResizeLongestSide.apply_image and Sam.preprocess; the padding is zeroed after the
        normalization, in the model.
    """
    resized_size = longest_side_size((image.shape[0], image.shape[1]), side=side)
    resized = Image.fromarray(image).resize(
        (resized_size[1], resized_size[0]), Image.Resampling.BILINEAR
    )
    square = np.zeros((3, side, side), dtype=np.uint8)
    square[:, : resized_size[0], : resized_size[1]] = np.asarray(resized).transpose(2, 0, 1)
    return square, resized_size
