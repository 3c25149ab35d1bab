"""The same few images of a split, drawn: the answer beside the ground truth."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool
from PIL import Image

from glamm.errors import DataError
from glamm.evaluation.gcg.generate import read_image
from glamm.evaluation.gcg.schema import GcgPair
from glamm.geometry.masks import decode
from glamm.inference.overlay import draw_beside, draw_overlay
from glamm.structures.sample import Mask
from glamm.tracking.runs import ImageWithMasks
from glamm.typing import Size


def choose(pairs: Sequence[GcgPair], number: int) -> list[GcgPair]:
    """Spread evenly over the split, so that two models are shown on the same images."""
    if number >= len(pairs):
        return list(pairs)
    return [pairs[(2 * index + 1) * len(pairs) // (2 * number)] for index in range(number)]


def collect(pairs: Sequence[GcgPair], root: Path) -> list[ImageWithMasks]:
    """Read the images; one that cannot be read was named when the model was to be asked, and is left out."""
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
                predicted_phrases=_one_a_mask(prediction.phrases, len(prediction.masks)),
                truth=_stack(masks, size),
                truth_phrases=_one_a_mask(truth.labels, len(masks)),
                text=prediction.caption,
                reference=truth.captions[0] if truth.captions else "",
            )
        )
    return images


def draw(images: Sequence[ImageWithMasks], folder: Path) -> list[str]:
    """Write one PNG an image into a fresh folder, and return their names."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    names: list[str] = []
    for logged in images:
        answer = draw_overlay(logged.image, logged.predicted, logged.predicted_phrases, logged.text)
        truth = draw_overlay(logged.image, logged.truth, logged.truth_phrases, logged.reference)
        beside = draw_beside(answer, truth, titles=("answer", "ground truth"))
        name = f"{logged.name}.png"
        Image.fromarray(beside).save(folder / name)
        names.append(name)
    return names


def _stack(masks: Sequence[Mask], size: Size) -> Bool[np.ndarray, "masks height width"]:
    """Pixels of all masks; one of another size cannot be shown and is drawn as empty."""
    stack = np.zeros((len(masks), *size), dtype=bool)
    for index, mask in enumerate(masks):
        if mask.size == size:
            stack[index] = decode(mask)
    return stack


def _one_a_mask(words: Sequence[str], number: int) -> tuple[str, ...]:
    return tuple(words[index] if index < len(words) else "" for index in range(number))
