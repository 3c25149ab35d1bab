"""The metrics of grounded conversation generation, as the release computes them and with its faults repaired."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from glamm.evaluation.caption_scorer import CaptionScorer
from glamm.evaluation.metrics import average_precision, mask_iou, recall
from glamm.evaluation.similarity import TextSimilarity
from glamm.progress import NO_PROGRESS, Progress
from glamm.structures.gcg import EMPTY_PREDICTION, GroundTruth, ImagePair
from glamm.structures.issue import IssueKind, IssueLog
from glamm.structures.report import GcgDetail, GcgScores, SkippedImage


@dataclass(frozen=True, slots=True)
class BothModes:
    """The scores of both modes.

    Args:
        compat: As the release computes them.
        fixed: With the faults of the release repaired.
    """

    compat: GcgScores
    fixed: GcgScores


@dataclass(frozen=True, slots=True)
class _ComparedImage:
    """An image with the IoU of its masks and the similarity of its phrases."""

    pair: ImagePair
    iou: np.ndarray  # predictions x truths
    similarity: np.ndarray  # labels x phrases


@dataclass(frozen=True, slots=True)
class _Captions:
    """Caption metrics of the whole set, and by image id."""

    total: dict[str, float]
    per_image: dict[str, dict[str, float]]


def score_gcg(
    truth: GroundTruth,
    pairs: Sequence[ImagePair],
    similarity: TextSimilarity,
    captions: CaptionScorer,
    issues: IssueLog,
    *,
    progress: Progress = NO_PROGRESS,
) -> BothModes:
    """Compute both modes.

    Args:
        truth: The split.
        pairs: Its images in the same order, with their predictions.
        similarity: Compares phrases.
        captions: Scores captions; entered, so that METEOR loads while masks are compared.
        issues: Gets the images whose labels the release's recall counts as missed because its script raises, and those
            whose caption a Java program does not take.
        progress: Shows what is being computed.

    Raises:
        HostError: Java fails.
        DataError: A phrase is not in the similarity table.
    """
    progress.describe("comparing phrases")
    similarity.prepare(
        phrase for pair in pairs for phrase in (*pair.truth.labels, *pair.prediction.phrases)
    )
    progress.describe("comparing masks")
    images = [_compare(pair, similarity) for pair in pairs]
    progress.describe("average precision")
    all_pairs = [*pairs, *(ImagePair(image, EMPTY_PREDICTION) for image in truth.mask_only_images)]
    coco_compat = average_precision.coco_stats_compat(all_pairs)
    coco_fixed = average_precision.coco_stats_fixed(all_pairs)
    without_predictions = [np.zeros((0, len(image.masks))) for image in truth.mask_only_images]
    counts = average_precision.count_detections(
        [*(image.iou for image in images), *without_predictions]
    )
    progress.describe("captions")
    caption_scores = _score_captions(pairs, captions, issues)
    compat = _score_mode(
        images, coco_compat, caption_scores, mask_iou.image_miou_compat, recall.match_compat
    )
    fixed = _score_mode(
        images, coco_fixed, caption_scores, mask_iou.image_miou_fixed, recall.match_fixed
    ).model_copy(
        update={
            "f1": counts.f1,
            "f1_precision": counts.precision,
            "f1_recall": counts.recall,
            "has_confidences": average_precision.has_confidences(pairs),
        }
    )
    for skipped in compat.detail.skipped if compat.detail else ():
        reason = f"recall, compat: {skipped.text}"
        issues.add(reason, record=str(skipped.image_id), kind=IssueKind.UNNAMED_MASK)
    return BothModes(compat, fixed)


def _compare(pair: ImagePair, similarity: TextSimilarity) -> _ComparedImage:
    truths = [truth.mask for truth in pair.truth.masks]
    return _ComparedImage(
        pair,
        mask_iou.overlaps(pair.prediction.masks, truths),
        similarity.matrix(pair.truth.labels, pair.prediction.phrases),
    )


def _score_captions(
    pairs: Sequence[ImagePair], captions: CaptionScorer, issues: IssueLog
) -> _Captions:
    """Score the images that have a reference."""
    with_reference = [pair for pair in pairs if pair.truth.captions]
    if not with_reference:
        return _Captions(dict.fromkeys(("METEOR", "CIDEr"), 0.0), {})
    scores = captions.score(
        references=[pair.truth.captions for pair in with_reference],
        candidates=[pair.prediction.caption for pair in with_reference],
    )
    ids = [str(pair.truth.id) for pair in with_reference]
    for index, reason in scores.failures.items():
        issues.add(
            f"its caption counts as empty: {reason}",
            file=f"{ids[index]}.json",
            record=ids[index],
            kind=IssueKind.UNSCORED_CAPTION,
        )
    return _Captions(scores.total, dict(zip(ids, scores.per_image, strict=True)))


def _score_mode(
    images: Sequence[_ComparedImage],
    coco_stats: dict[str, float],
    captions: _Captions,
    image_miou: Callable[[np.ndarray], float | None],
    match: Callable[[np.ndarray, np.ndarray], recall.ImageMatches],
) -> GcgScores:
    ids = [image.pair.truth.id for image in images]
    mious = [image_miou(image.iou) for image in images]
    matches = [match(image.iou.T, image.similarity) for image in images]
    true_positives = sum(len(matched.pairs) for matched in matches)
    actual_positives = sum(len(image.pair.truth.labels) for image in images)
    detail = GcgDetail(
        mious=tuple(zip(ids, mious, strict=True)),
        matches=tuple(
            (image_id, matched.pairs)
            for image_id, matched in zip(ids, matches, strict=True)
            if matched.fault is None
        ),
        skipped=tuple(
            SkippedImage(image_id=image_id, exception="IndexError", text=matched.fault)
            for image_id, matched in zip(ids, matches, strict=True)
            if matched.fault is not None
        ),
        captions=captions.per_image,
    )
    return GcgScores(
        ap=coco_stats["AP"],
        ap50=coco_stats["AP50"],
        miou=mask_iou.mean_or_zero(mious),
        recall=true_positives / actual_positives if actual_positives else 0.0,
        true_positives=true_positives,
        actual_positives=actual_positives,
        captions=captions.total,
        coco_stats=coco_stats,
        detail=detail,
    )
