"""BLEU, ROUGE-L and CIDEr of captions that were split into words; METEOR's values join them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge

CAPTION_METRICS = ("Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4", "METEOR", "ROUGE_L", "CIDEr")


@dataclass(frozen=True, slots=True)
class TokenisedCaptions:
    """Words separated by spaces.

    Args:
        references: Of each image, one or more.
        candidates: One an image; empty is allowed and scores 0.
    """

    references: tuple[tuple[str, ...], ...]
    candidates: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MeteorScores:
    """What METEOR says.

    Args:
        total: Of the whole set; not the mean of the images.
        per_image: One an image.
    """

    total: float
    per_image: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class CaptionScores:
    """All caption metrics as fractions, by the names in CAPTION_METRICS.

    Args:
        total: Of the whole set.
        per_image: One an image, in order.
    """

    total: dict[str, float]
    per_image: tuple[dict[str, float], ...]


def score_captions(captions: TokenisedCaptions, meteor: MeteorScores) -> CaptionScores:
    """Compute the rest and put everything together.

    CIDEr takes its document frequencies from these very references: of a single image it is 0.

    Source: COCO caption evaluation, `pycocoevalcap`, with its default settings; SPICE left out, as its models cannot
        be had offline and the paper does not report it.
    """
    references = {index: list(texts) for index, texts in enumerate(captions.references)}
    candidates = {index: [text] for index, text in enumerate(captions.candidates)}
    bleu, bleu_each = Bleu(4).compute_score(references, candidates, verbose=0)
    rouge, rouge_each = Rouge().compute_score(references, candidates)
    cider, cider_each = Cider().compute_score(references, candidates)
    total = _named([*bleu, meteor.total, rouge, cider])
    rows = zip(*bleu_each, meteor.per_image, rouge_each, cider_each, strict=True)
    return CaptionScores(total, tuple(_named(row) for row in rows))


def _named(values: Sequence[Any]) -> dict[str, float]:
    return {name: float(value) for name, value in zip(CAPTION_METRICS, values, strict=True)}
