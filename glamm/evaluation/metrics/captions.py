"""BLEU, ROUGE-L and CIDEr of tokenized captions, combined with METEOR."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge

CAPTION_METRICS = ("Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4", "METEOR", "ROUGE_L", "CIDEr")


@dataclass(frozen=True, slots=True)
class TokenizedCaptions:
    """Captions whose tokens are separated by spaces.

    Args:
        references: One or more for each image.
        candidates: One for each image; an empty one scores 0.
        failures: Why captions of an image count as empty, by the image's index.
    """

    references: tuple[tuple[str, ...], ...]
    candidates: tuple[str, ...]
    failures: Mapping[int, str]


@dataclass(frozen=True, slots=True)
class MeteorScores:
    """METEOR as fractions.

    Args:
        total: Of the whole set; not the mean over images.
        per_image: In the order of the captions.
        failures: Why the caption of an image counts as empty, by the image's index.
    """

    total: float
    per_image: tuple[float, ...]
    failures: Mapping[int, str]


@dataclass(frozen=True, slots=True)
class CaptionScores:
    """All caption metrics as fractions, by the names in CAPTION_METRICS.

    Args:
        total: Of the whole set; BLEU and METEOR are not means over images.
        per_image: In the order of the captions.
        failures: Why captions of an image count as empty, by the image's index.
    """

    total: dict[str, float]
    per_image: tuple[dict[str, float], ...]
    failures: Mapping[int, str]


def score_captions(captions: TokenizedCaptions, meteor: MeteorScores) -> CaptionScores:
    """Compute BLEU, ROUGE-L and CIDEr, and combine them with METEOR.

    CIDEr takes its document frequencies from these references, so it is 0 for a single image.

    Source: COCO caption evaluation, `pycocoevalcap`, with its default settings. SPICE is left out: its models need a
        download, and the paper does not report it.
    """
    references = {index: list(texts) for index, texts in enumerate(captions.references)}
    candidates = {index: [text] for index, text in enumerate(captions.candidates)}
    bleu, bleu_each = Bleu(4).compute_score(references, candidates, verbose=0)
    rouge, rouge_each = Rouge().compute_score(references, candidates)
    cider, cider_each = Cider().compute_score(references, candidates)
    total = _named([*bleu, meteor.total, rouge, cider])
    rows = zip(*bleu_each, meteor.per_image, rouge_each, cider_each, strict=True)
    failures = {**captions.failures, **meteor.failures}
    return CaptionScores(total, tuple(_named(row) for row in rows), failures)


def _named(values: Sequence[Any]) -> dict[str, float]:
    return {name: float(value) for name, value in zip(CAPTION_METRICS, values, strict=True)}
