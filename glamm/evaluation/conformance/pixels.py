"""Compute the inputs of both image encoders from the PNG files of a set."""

from pathlib import Path

import torch
from torch import Tensor

from glamm.errors import DataError
from glamm.evaluation.conformance.layout import ConformanceSet
from glamm.geometry.image_files import Pixels, open_image, to_rgb
from glamm.geometry.preprocess import global_pixels, grounding_pixels


def compute_pixels(conformance: ConformanceSet) -> dict[str, Tensor]:
    """Preprocess every image of a set.

    Returns:
        `clip_u8.<image>` and `sam_u8.<image>`, RGB, channels first; the latter without its padding.

    Raises:
        DataError: A PNG file is missing or cannot be read.
    """
    config = conformance.config
    tensors: dict[str, Tensor] = {}
    for name in conformance.pixels:
        kind, _, image = name.partition(".")
        pixels = _read_image(conformance.folder / f"{image}.png")
        if kind == "clip_u8":
            square = global_pixels(
                pixels,
                side=config.global_encoder.image_size,
                is_cropped=config.compat.crops_global_image,
            )
            tensors[name] = torch.from_numpy(square)
        elif kind == "sam_u8":
            square, (height, width) = grounding_pixels(
                pixels, side=config.grounding_encoder.image_size
            )
            tensors[name] = torch.from_numpy(square[:, :height, :width].copy())
    return tensors


def _read_image(path: Path) -> Pixels:
    try:
        with path.open("rb") as file:
            return to_rgb(open_image(file))
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", file=path) from error
    except ValueError as error:
        raise DataError(str(error), file=path) from error
