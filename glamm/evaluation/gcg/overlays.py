"""Images of the report: for the same few images of a split, the answer beside the ground truth."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image

from glamm.errors import DataError
from glamm.evaluation.gcg.generate import read_image
from glamm.geometry.masks import decode
from glamm.inference.overlay import draw_overlay, draw_side_by_side
from glamm.structures.gcg import ImagePair
from glamm.structures.sample import Mask
from glamm.tracking.runs import ImageWithMasks
from glamm.typing import Size


def choose_evenly(pairs: Sequence[ImagePair], number: int) -> list[ImagePair]:
    """Choose images at equal distances in the split, so that reports of two models draw the same images."""
    if number >= len(pairs):
        return list(pairs)
    return [pairs[(2 * index + 1) * len(pairs) // (2 * number)] for index in range(number)]


def load_images(pairs: Sequence[ImagePair], root: Path) -> list[ImageWithMasks]:
    """Load the pixels and masks of images; those that cannot be read are left out, and were reported before.

    Args:
        pairs: The chosen images.
        root: Data root, with the images below it.
    """
    images: list[ImageWithMasks] = []
    for pair in pairs:
        try:
            pixels = read_image(root, pair.truth)
        except (DataError, OSError, ValueError):
            continue
        size = pixels.shape[0], pixels.shape[1]
        truth, prediction = pair.truth, pair.prediction
        masks = [mask.mask for mask in truth.masks]
        images.append(
            ImageWithMasks(
                name=str(truth.id),
                image=pixels,
                predicted=_stack(prediction.masks, size),
                predicted_phrases=_resized(prediction.phrases, len(prediction.masks)),
                truth=_stack(masks, size),
                truth_phrases=_resized(truth.labels, len(masks)),
                text=prediction.caption,
                reference=truth.captions[0] if truth.captions else "",
            )
        )
    return images


def write_overlays(images: Sequence[ImageWithMasks], folder: Path) -> list[str]:
    """Write one PNG file for each image into a new, empty folder, and return the file names."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    names: list[str] = []
    for image in images:
        name = f"{image.name}.png"
        Image.fromarray(draw_beside_truth(image)).save(folder / name)
        names.append(name)
    return names


def draw_beside_truth(image: ImageWithMasks) -> UInt8[np.ndarray, "height_out width_out 3"]:
    """The answer on the left, the ground truth on the right."""
    answer = draw_overlay(image.image, image.predicted, image.predicted_phrases, image.text)
    truth = draw_overlay(image.image, image.truth, image.truth_phrases, image.reference)
    return draw_side_by_side(answer, truth, titles=("answer", "ground truth"))


def _stack(masks: Sequence[Mask], size: Size) -> Bool[np.ndarray, "masks height width"]:
    """Pixels of all masks; a mask of another size is drawn as empty."""
    stack = np.zeros((len(masks), *size), dtype=bool)
    for index, mask in enumerate(masks):
        if mask.size == size:
            stack[index] = decode(mask)
    return stack


def _resized(phrases: Sequence[str], number: int) -> tuple[str, ...]:
    """The first `number` phrases, with empty ones added if there are fewer."""
    return tuple(phrases[index] if index < len(phrases) else "" for index in range(number))
