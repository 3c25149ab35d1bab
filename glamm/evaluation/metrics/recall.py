"""Mask recall: annotated phrases that a predicted mask and phrase find.

Axis names: `truths`, `predictions` are the masks of an image; `labels`, `phrases` its words, which may differ in number.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64
from scipy.optimize import linear_sum_assignment

THRESHOLD = 0.5
"""Of the overlap and of the similarity alike; exactly this passes."""

_TIE = 1e-9  # among pairings of the same overlap prefer the one whose words agree; far below any difference in overlap


@dataclass(frozen=True, slots=True)
class ImageMatches:
    """What was found in an image.

    Args:
        pairs: (annotated, predicted) masks in the order in which they were matched.
        fault: Why the image earns nothing although the matching had begun; compat only.
    """

    pairs: tuple[tuple[int, int], ...]
    fault: str | None = None


def match_compat(
    iou: Float64[np.ndarray, "truths predictions"], similarity: Float[np.ndarray, "labels phrases"]
) -> ImageMatches:
    """Take the best overlap again and again, and stop at the first that fails in overlap or words.

    Upstream: a best pair whose words disagree ends the image, so everything after it is lost. Ties go to the lowest
        annotated, then the lowest predicted mask. A pair of two empty masks (NaN) is taken first and passes as
        overlap. A pair without a phrase or label raises in the release, which then counts nothing for the image but
        keeps its labels in the denominator. All kept.
    Source: `find_best_matches` of `eval/gcg/evaluate.py`.
    """
    rest, words = iou.copy(), similarity.copy()
    pairs: list[tuple[int, int]] = []
    while rest.size:
        truth, prediction = (int(index) for index in np.unravel_index(rest.argmax(), rest.shape))
        if rest[truth, prediction] < THRESHOLD:
            break
        if truth >= words.shape[0] or prediction >= words.shape[1]:
            side = "label" if truth >= words.shape[0] else "phrase"
            index = truth if side == "label" else prediction
            return ImageMatches((), f"mask {index} has no {side}; nothing of the image counts")
        if words[truth, prediction] < THRESHOLD:
            break
        pairs.append((truth, prediction))
        for matrix in (rest, words):
            matrix[truth, :] = 0
            matrix[:, prediction] = 0
    return ImageMatches(tuple(pairs))


def match_fixed(
    iou: Float64[np.ndarray, "truths predictions"], similarity: Float[np.ndarray, "labels phrases"]
) -> ImageMatches:
    """Pair masks by overlap first, then count the pairs whose words agree, as the paper describes it.

    Pairs are those of the highest summed overlap among overlaps of 0.5 or more, so neither the order of masks nor one
    disagreeing pair changes the rest. Two empty masks overlap fully. A mask without words is never a hit.

    Source: GLaMM, section on grounded conversation generation; arXiv 2311.03356.
    """
    if not iou.size:
        return ImageMatches(())
    overlap = np.nan_to_num(iou, nan=1.0)
    agrees = np.zeros(iou.shape, dtype=bool)
    rows = min(iou.shape[0], similarity.shape[0])
    columns = min(iou.shape[1], similarity.shape[1])
    agrees[:rows, :columns] = similarity[:rows, :columns] >= THRESHOLD
    is_close = overlap >= THRESHOLD
    weight = np.where(is_close, overlap + _TIE * agrees, 0.0)
    pairs = zip(*linear_sum_assignment(weight, maximize=True), strict=True)
    return ImageMatches(
        tuple((int(t), int(p)) for t, p in pairs if is_close[t, p] and agrees[t, p])
    )
