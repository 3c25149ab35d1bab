"""Evaluate a folder of predictions."""

from collections.abc import Sequence
from pathlib import Path

from glamm.config.evaluation import EvaluateConfig
from glamm.evaluation.caption_scorer import CaptionScorer
from glamm.evaluation.gcg.ground_truth import read_ground_truth
from glamm.evaluation.gcg.predictions import pair_with_predictions, report_unused
from glamm.evaluation.gcg.report import build_report
from glamm.evaluation.gcg.score import score_gcg
from glamm.evaluation.similarity import open_similarity
from glamm.progress import NO_PROGRESS, Progress
from glamm.structures.gcg import GroundTruth, ImagePair
from glamm.structures.issue import IssueLog
from glamm.structures.report import GcgReport


def evaluate_folder(
    predictions: Path,
    ground_truth: Path,
    split: str,
    config: EvaluateConfig,
    *,
    progress: Progress = NO_PROGRESS,
) -> GcgReport:
    """Evaluate predictions from a folder.

    Args:
        predictions: Holds one JSON file for each image.
        ground_truth: Holds the official files, or is a data root.
        split: val or test.
        config: Its `similarity` and `limit` are used.
        progress: Shows what is being computed.

    Returns:
        The report, with the scores of the single images.

    Raises:
        HostError: No Java starts.
        DataError: A file is missing or damaged.
    """
    captions = CaptionScorer.from_installed_java()
    issues = IssueLog()
    truth = read_ground_truth(ground_truth, split, issues, limit=config.limit)
    pairs = pair_with_predictions(truth.images, predictions, issues)
    if config.limit is None:
        report_unused(truth.images, predictions, issues)
    return evaluate_pairs(truth, pairs, captions, config, issues, progress=progress)


def evaluate_pairs(
    truth: GroundTruth,
    pairs: Sequence[ImagePair],
    captions: CaptionScorer,
    config: EvaluateConfig,
    issues: IssueLog,
    *,
    model: str | None = None,
    progress: Progress = NO_PROGRESS,
) -> GcgReport:
    """Score the images of a split with their predictions.

    Args:
        truth: The split.
        pairs: Its images in the same order, with their predictions.
        captions: Not entered yet; METEOR runs during this call only.
        config: Its `similarity` is used.
        issues: Holds what was wrong with the inputs; gets what is found while scoring.
        model: Fingerprint of the model; None for predictions from elsewhere.
        progress: Shows what is being computed.

    Raises:
        HostError: Java fails.
        DataError: A phrase is not in the similarity table.
    """
    with captions:
        similarity = open_similarity(config.similarity)
        scores = score_gcg(truth, pairs, similarity, captions, issues, progress=progress)
    return build_report(truth.split, pairs, scores, issues, similarity=similarity.name, model=model)
