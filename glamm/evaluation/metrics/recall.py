"""Mask recall: the share of annotated phrases for which a mask and phrase are predicted that match.

Axis names: `truths` and `predictions` are the masks of an image, `labels` and `phrases` their texts. There may be more
or fewer texts than masks.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64
from scipy.optimize import linear_sum_assignment

THRESHOLD = 0.5
"""Least IoU and least similarity of a match; this value itself is enough."""

# Among pairings of equal IoU the one whose phrases match is preferred; far below any difference of IoU.
_MATCH_BONUS = 1e-9


@dataclass(frozen=True, slots=True)
class ImageMatches:
    """The matches of an image.

    Args:
        pairs: (annotated, predicted) masks in the order in which they were matched.
        fault: Why the image has no matches although some were found; `compat` only.
    """

    pairs: tuple[tuple[int, int], ...]
    fault: str | None = None


def match_compat(
    iou: Float64[np.ndarray, "truths predictions"], similarity: Float[np.ndarray, "labels phrases"]
) -> ImageMatches:
    """Greedy matching by IoU; it ends at the first pair whose IoU or similarity is too low.

    Upstream: a best pair whose phrases differ ends the matching of the image, so all its other pairs are lost. Ties go
        to the lowest annotated, then the lowest predicted mask. A pair of two empty masks (NaN) comes first and
        passes as IoU. A pair without a phrase or label raises an exception in the release, which then counts no match
        of the image but keeps its labels in the denominator. All kept.
    Source: `find_best_matches` of `eval/gcg/evaluate.py`.
    """
    rest, phrases = iou.copy(), similarity.copy()
    pairs: list[tuple[int, int]] = []
    while rest.size:
        truth, prediction = (int(index) for index in np.unravel_index(rest.argmax(), rest.shape))
        if rest[truth, prediction] < THRESHOLD:
            break
        if truth >= phrases.shape[0] or prediction >= phrases.shape[1]:
            side = "label" if truth >= phrases.shape[0] else "phrase"
            index = truth if side == "label" else prediction
            return ImageMatches((), f"mask {index} has no {side}; nothing of the image counts")
        if phrases[truth, prediction] < THRESHOLD:
            break
        pairs.append((truth, prediction))
        for matrix in (rest, phrases):
            matrix[truth, :] = 0
            matrix[:, prediction] = 0
    return ImageMatches(tuple(pairs))


def match_fixed(
    iou: Float64[np.ndarray, "truths predictions"], similarity: Float[np.ndarray, "labels phrases"]
) -> ImageMatches:
    """Pair masks by IoU, then count the pairs whose phrases match, as the paper describes it.

    The pairs are those with the highest sum of IoUs, among IoUs of 0.5 or more. So the result does not depend on the
    order of masks, and a pair whose phrases differ does not change the others. Two empty masks have an IoU of 1. A
    mask without a phrase never matches.

    Source: GLaMM, section on grounded conversation generation; arXiv 2311.03356.
    """
    if not iou.size:
        return ImageMatches(())
    values = np.nan_to_num(iou, nan=1.0)
    matches = np.zeros(iou.shape, dtype=bool)
    rows = min(iou.shape[0], similarity.shape[0])
    columns = min(iou.shape[1], similarity.shape[1])
    matches[:rows, :columns] = similarity[:rows, :columns] >= THRESHOLD
    is_close = values >= THRESHOLD
    weight = np.where(is_close, values + _MATCH_BONUS * matches, 0.0)
    pairs = zip(*linear_sum_assignment(weight, maximize=True), strict=True)
    return ImageMatches(
        tuple((int(t), int(p)) for t, p in pairs if is_close[t, p] and matches[t, p])
    )
