"""The five numbers of grounded conversation generation, as the release computes them and as they should be."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from glamm.evaluation.caption_scorers import Meteor, tokenise
from glamm.evaluation.findings import Finding, FindingKind
from glamm.evaluation.gcg.schema import EMPTY_PREDICTION, GcgPair, GcgTruth, ImageId
from glamm.evaluation.metrics import average_precision, mask_iou, recall
from glamm.evaluation.metrics.captions import CaptionScores, score_captions
from glamm.evaluation.similarity import TextSimilarity

FIVE = ("METEOR", "CIDEr", "AP50", "mIoU", "Recall")
"""The columns of the paper's table, in its order."""


@dataclass(frozen=True, slots=True)
class GcgScores:
    """One mode's numbers, all fractions.

    Args:
        coco_stats: COCO's twelve numbers; -1 where there is nothing to measure.
        miou: Mean over images.
        recall: `true_positives` of `actual_positives`.
        true_positives: Labels that were found.
        actual_positives: Labels of all images.
        captions: By metric.
        image_mious: One an image; None where it is not defined.
        image_matches: (annotated, predicted) pairs of each image.
        image_captions: Caption metrics of each image that has a reference.
        faults: Image and reason where the matching of words broke off.
        extra: Numbers that only this mode has.
    """

    coco_stats: dict[str, float]
    miou: float
    recall: float
    true_positives: int
    actual_positives: int
    captions: dict[str, float]
    image_mious: tuple[tuple[ImageId, float | None], ...]
    image_matches: tuple[tuple[ImageId, tuple[tuple[int, int], ...]], ...]
    image_captions: dict[str, dict[str, float]]
    faults: tuple[tuple[ImageId, str], ...] = ()
    extra: dict[str, float] = field(default_factory=dict)

    @property
    def five(self) -> dict[str, float]:
        """The paper's numbers by name."""
        values = {"AP50": self.coco_stats["AP50"], "mIoU": self.miou, "Recall": self.recall}
        return {name: values.get(name, self.captions.get(name, 0.0)) for name in FIVE}

    def as_json(self, *, has_detail: bool = True) -> dict[str, Any]:
        """The official names."""
        tree: dict[str, Any] = {
            "AP": self.coco_stats["AP"],
            "AP50": self.coco_stats["AP50"],
            "mIoU": self.miou,
            "Recall": self.recall,
            "true_positives": self.true_positives,
            "actual_positives": self.actual_positives,
            "captions": self.captions,
            "coco_stats": self.coco_stats,
            **self.extra,
        }
        if has_detail:
            lost = {image_id for image_id, _ in self.faults}
            tree["detail"] = {
                "per_image_miou": [list(item) for item in self.image_mious],
                "per_image_matches_gt_pred": [
                    [image_id, [list(pair) for pair in pairs]]
                    for image_id, pairs in self.image_matches
                    if image_id not in lost
                ],
                "recall_swallowed_errors": [
                    {"image_id": image_id, "exception": "IndexError", "text": text}
                    for image_id, text in self.faults
                ],
                "per_image_captions": self.image_captions,
            }
        return tree


@dataclass(frozen=True, slots=True)
class GcgResult:
    """Both modes side by side."""

    compat: GcgScores
    fixed: GcgScores
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class _Overlaps:
    """Of one image, from its masks and its words."""

    pair: GcgPair
    iou: np.ndarray  # predictions x truths
    similarity: np.ndarray  # labels x phrases


def evaluate_gcg(
    truth: GcgTruth,
    pairs: Sequence[GcgPair],
    similarity: TextSimilarity,
    *,
    java: Path,
    meteor: Meteor,
    report: Callable[[str], None] = lambda _: None,
) -> GcgResult:
    """Compute both modes.

    METEOR, once started, reads its paraphrases for some seconds; masks are compared meanwhile.

    Args:
        truth: The split.
        pairs: One an image of the split, in its order.
        similarity: Of phrases.
        java: For the tokenizer.
        meteor: Running.
        report: Told what is being done.

    Raises:
        HostError: Java fails.
        DataError: A phrase is not in the similarity table.
    """
    report("words of phrases")
    similarity.prepare(
        word for pair in pairs for word in (*pair.truth.labels, *pair.prediction.phrases)
    )
    report("overlaps of masks")
    compared = [_compare(pair, similarity) for pair in pairs]
    report("average precision")
    everything = [*pairs, *(GcgPair(image, EMPTY_PREDICTION) for image in truth.unasked)]
    coco_compat = average_precision.coco_stats_compat(everything)
    coco_fixed = average_precision.coco_stats_fixed(everything)
    report("captions")
    captions, by_image = _score_captions(pairs, meteor, java)
    unasked = [np.zeros((0, len(image.masks))) for image in truth.unasked]
    counts = average_precision.count_detections([*(one.iou for one in compared), *unasked])
    extra = {
        "F1": counts.f1,
        "F1_precision": counts.precision,
        "F1_recall": counts.recall,
        "has_confidences": average_precision.has_confidences(pairs),
    }
    compat = _scores(
        compared, coco_compat, captions, by_image, mask_iou.image_miou_compat, recall.match_compat
    )
    fixed = _scores(
        compared,
        coco_fixed,
        captions,
        by_image,
        mask_iou.image_miou_fixed,
        recall.match_fixed,
        extra=extra,
    )
    findings = tuple(
        Finding(FindingKind.UNNAMED_MASK, str(image_id), f"recall, compat: {text}")
        for image_id, text in compat.faults
    )
    return GcgResult(compat, fixed, findings)


def _compare(pair: GcgPair, similarity: TextSimilarity) -> _Overlaps:
    truths = [truth.mask for truth in pair.truth.masks]
    return _Overlaps(
        pair,
        mask_iou.overlaps(pair.prediction.masks, truths),
        similarity.matrix(pair.truth.labels, pair.prediction.phrases),
    )


def _score_captions(
    pairs: Sequence[GcgPair], meteor: Meteor, java: Path
) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """Score the images that have a reference."""
    spoken = [pair for pair in pairs if pair.truth.captions]
    if not spoken:
        return dict.fromkeys(("METEOR", "CIDEr"), 0.0), {}
    captions = tokenise(
        java,
        references=[pair.truth.captions for pair in spoken],
        candidates=[pair.prediction.caption for pair in spoken],
    )
    scores: CaptionScores = score_captions(captions, meteor.score(captions))
    ids = (str(pair.truth.id) for pair in spoken)
    return scores.total, dict(zip(ids, scores.per_image, strict=True))


def _scores(
    compared: Sequence[_Overlaps],
    coco_stats: dict[str, float],
    captions: dict[str, float],
    by_image: dict[str, dict[str, float]],
    image_miou: Callable[[np.ndarray], float | None],
    match: Callable[[np.ndarray, np.ndarray], recall.ImageMatches],
    *,
    extra: dict[str, float] | None = None,
) -> GcgScores:
    mious = [image_miou(one.iou) for one in compared]
    matches = [match(one.iou.T, one.similarity) for one in compared]
    ids = [one.pair.truth.id for one in compared]
    found = sum(len(image.pairs) for image in matches)
    wanted = sum(len(one.pair.truth.labels) for one in compared)
    return GcgScores(
        coco_stats=coco_stats,
        miou=mask_iou.mean_or_zero(mious),
        recall=found / wanted if wanted else 0.0,
        true_positives=found,
        actual_positives=wanted,
        captions=captions,
        image_mious=tuple(zip(ids, mious, strict=True)),
        image_matches=tuple((i, image.pairs) for i, image in zip(ids, matches, strict=True)),
        image_captions=by_image,
        faults=tuple(
            (i, image.fault) for i, image in zip(ids, matches, strict=True) if image.fault
        ),
        extra=extra or {},
    )
