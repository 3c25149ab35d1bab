"""Judge a folder of predictions."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from glamm.config.evaluation import EvaluateConfig
from glamm.evaluation.caption_scorers import Meteor
from glamm.evaluation.findings import Finding, FindingKind
from glamm.evaluation.gcg.ground_truth import read_truth
from glamm.evaluation.gcg.predictions import pair_with_predictions
from glamm.evaluation.gcg.report import GcgReport
from glamm.evaluation.gcg.schema import GcgTruth
from glamm.evaluation.gcg.score import evaluate_gcg
from glamm.evaluation.java_runtime import find_java
from glamm.evaluation.similarity import open_similarity


@dataclass(frozen=True, slots=True)
class Progress:
    """Who is told how far the work is.

    Args:
        say: What is being done now.
        begin: How many images will be asked.
        advance: One image is done.
    """

    say: Callable[[str], None] = lambda _: None
    begin: Callable[[int], None] = lambda _: None
    advance: Callable[[], None] = lambda: None


SILENT = Progress()


def evaluate_folder(
    predictions: Path,
    ground_truth: Path,
    split: str,
    config: EvaluateConfig,
    *,
    progress: Progress = SILENT,
) -> GcgReport:
    """Judge predictions that lie in a folder.

    Args:
        predictions: One JSON file an image.
        ground_truth: With the official files, or a data root.
        split: val or test.
        config: What compares phrases, and how many images count.
        progress: Told what is done.

    Raises:
        HostError: No Java starts.
        DataError: A file is missing or damaged.
    """
    java = find_java()
    truth, findings = read_part(ground_truth, split, config)
    return judge(truth, predictions, config, java=java, findings=findings, progress=progress)


def read_part(folder: Path, split: str, config: EvaluateConfig) -> tuple[GcgTruth, list[Finding]]:
    """The ground truth, or the first images of it.

    Raises:
        DataError: A file is missing or damaged.
    """
    truth, findings = read_truth(folder, split)
    if config.limit is None or config.limit >= len(truth.images):
        return truth, findings
    images = truth.images[: config.limit]
    names = {str(image.id) for image in images}
    message = f"only the first {len(images)} of {len(truth.images)} images are evaluated"
    kept = [finding for finding in findings if finding.record in names]
    return GcgTruth(split, images), [*kept, Finding(FindingKind.LIMITED, "*", message)]


def judge(
    truth: GcgTruth,
    predictions: Path,
    config: EvaluateConfig,
    *,
    java: Path,
    findings: list[Finding],
    progress: Progress,
) -> GcgReport:
    """Judge the predictions in a folder against a split that was read.

    Args:
        truth: The split.
        predictions: One JSON file an image.
        config: What compares phrases.
        java: For the caption metrics.
        findings: Noticed so far.
        progress: Told what is done.

    Raises:
        HostError: METEOR fails.
        DataError: A prediction is damaged.
    """
    pairs, noticed = pair_with_predictions(truth.images, predictions)
    named = {one.record for one in findings if one.kind is FindingKind.UNREADABLE_IMAGE}
    noticed = [
        one
        for one in noticed
        if one.kind is not FindingKind.MISSING_PREDICTION or one.record not in named
    ]
    with Meteor(java) as meteor:
        similarity = open_similarity(config.similarity)
        result = evaluate_gcg(
            truth, pairs, similarity, java=java, meteor=meteor, report=progress.say
        )
    return GcgReport(
        split=truth.split,
        similarity=similarity.name,
        model=None,
        pairs=tuple(pairs),
        result=result,
        findings=(*findings, *noticed, *result.findings),
    )
