"""The two images that show a model best: one that it answered well and one that it did not, chosen by their numbers."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from glamm.evaluation.gcg.overlays import draw_beside_truth, load_images
from glamm.files import replacing
from glamm.inference.overlay import draw_below_each_other
from glamm.structures.gcg import ImagePair
from glamm.structures.report import GcgScores, ReportedExample, caption_examples


def choose_examples(pairs: Sequence[ImagePair], scores: GcgScores) -> list[ReportedExample]:
    """The image with the best answer, and the one with the worst; one image alone is listed once.

    The quality of an answer is the mean of its mIoU and of the share of phrases that it found. Among equal ones the
    image with more phrases is taken, then the first of the split.

    Args:
        pairs: All images.
        scores: Of the mode `fixed`, with detail.

    Returns:
        At most two, the better one first; images without annotated phrases are not considered.
    """
    if scores.detail is None:
        raise ValueError("the scores have no detail")
    mious = dict(scores.detail.mious)
    matches = dict(scores.detail.matches)
    examples = [
        ReportedExample(
            image_id=pair.truth.id,
            found=len(matches.get(pair.truth.id, ())),
            phrases=len(pair.truth.labels),
            miou=mious[pair.truth.id] or 0.0,
        )
        for pair in pairs
        if pair.truth.labels and mious.get(pair.truth.id) is not None
    ]
    best = max(examples, key=lambda example: (_quality(example), example.phrases), default=None)
    others = [example for example in examples if example is not best]
    worst = min(others, key=lambda example: (_quality(example), -example.phrases), default=None)
    return [example for example in (best, worst) if example is not None]


def write_examples(
    pairs: Sequence[ImagePair], examples: Sequence[ReportedExample], root: Path, file: Path
) -> None:
    """Draw the examples below each other, each answer beside the ground truth and under its caption.

    Args:
        pairs: All images.
        examples: Those that `choose_examples` chose; nothing is written for none.
        root: Data root, with the images below it.
        file: A PNG file.
    """
    by_id = {pair.truth.id: pair for pair in pairs}
    drawings: list[UInt8[np.ndarray, "height width 3"]] = []
    titles: list[str] = []
    for example, caption in zip(examples, caption_examples(examples), strict=True):
        for image in load_images([by_id[example.image_id]], root):
            drawings.append(draw_beside_truth(image))
            titles.append(caption)
    if drawings:
        with replacing(file) as unfinished:
            Image.fromarray(draw_below_each_other(drawings, titles)).save(unfinished, "PNG")


def _quality(example: ReportedExample) -> float:
    return (example.found / example.phrases + example.miou) / 2
