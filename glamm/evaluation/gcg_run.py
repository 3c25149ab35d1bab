"""Evaluate a folder of predictions, or a model: ask it, judge its answers, write and record the report."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from glamm.config.evaluation import EvaluateConfig
from glamm.evaluation import gcg_pictures
from glamm.evaluation.caption_scorers import Meteor
from glamm.evaluation.findings import Finding, FindingKind
from glamm.evaluation.gcg import evaluate_gcg
from glamm.evaluation.gcg_data import GcgTruth
from glamm.evaluation.gcg_predict import Job, open_job, predict
from glamm.evaluation.gcg_predictions import pair_with_predictions
from glamm.evaluation.gcg_report import GcgReport, write_json
from glamm.evaluation.gcg_truth import read_truth
from glamm.evaluation.java import find_java
from glamm.evaluation.similarity import open_similarity
from glamm.tracking.runs import Picture, start_run

REPORT_JSON = "report.json"
REPORT_MARKDOWN = "report.md"
PREDICTIONS = "predictions"
OVERLAYS = "overlays"


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


def evaluate_folder(
    predictions: Path,
    ground_truth: Path,
    split: str,
    config: EvaluateConfig,
    *,
    progress: Progress = Progress(),
) -> GcgReport:
    """Judge predictions that lie in a folder.

    Args:
        predictions: One JSON file an image.
        ground_truth: With the official files, or a data root.
        split: val or test.
        config: What compares phrases, and how many images count.
        progress: Told what is done.

    Raises:
        EnvironmentFault: No Java starts.
        DataError: A file is missing or damaged.
    """
    java = find_java()
    truth, findings = _truth(ground_truth, split, config)
    return _judge(truth, predictions, config, java=java, findings=findings, progress=progress)


def evaluate_model(
    model: Path,
    root: Path,
    split: str,
    out: Path,
    config: EvaluateConfig,
    *,
    progress: Progress = Progress(),
) -> GcgReport:
    """Ask a model about a split, judge its answers and write report.json, report.md and overlays.

    Args:
        model: A model folder.
        root: Of the data.
        split: val or test.
        out: For the report; `predictions` in it keeps the answers.
        config: Question, limits, similarity.
        progress: Told what is done.

    Raises:
        EnvironmentFault: No Java starts.
        CheckpointError: The model cannot be loaded.
        DataError: The ground truth is missing or damaged.
    """
    java = find_java()
    truth, findings = _truth(root, split, config)
    progress.say("loading the model")
    job = open_job(model, config)
    progress.begin(len(truth.images))
    answers = out / PREDICTIONS
    unasked = predict(truth.images, root, answers, job, advance=progress.advance)
    report = _judge(
        truth, answers, config, java=java, findings=[*findings, *unasked], progress=progress
    )
    report = replace(report, model=job.fingerprint)
    progress.say("drawing pictures")
    chosen = gcg_pictures.choose(report.pairs, config.num_pictures)
    pictures = gcg_pictures.collect(chosen, root)
    names = gcg_pictures.draw(pictures, out / OVERLAYS)
    write_json(out / REPORT_JSON, report.as_json(has_detail=False))
    markdown = report.as_markdown([f"{OVERLAYS}/{name}" for name in names])
    (out / REPORT_MARKDOWN).write_text(markdown, encoding="utf-8")
    progress.say("recording the run")
    log_evaluation(report, pictures, config, job)
    return report


def log_evaluation(
    report: GcgReport, pictures: list[Picture], config: EvaluateConfig, job: Job
) -> None:
    """Record numbers and pictures with the tracker; offline unless a key is set."""
    parameters = {
        **config.model_dump(),
        "question": job.question,
        "model": job.fingerprint,
        "split": report.split,
        "similarity": report.similarity,
    }
    run = start_run(name=f"evaluate-{report.split}", job="evaluate", config=parameters)
    is_failed = True
    try:
        run.summarise(
            {
                f"{mode}/{name}": value
                for mode, scores in (
                    ("compat", report.result.compat),
                    ("fixed", report.result.fixed),
                )
                for name, value in scores.five.items()
            }
        )
        run.log_pictures(report.split, pictures)
        is_failed = False
    finally:
        run.finish(is_failed=is_failed)


def _truth(folder: Path, split: str, config: EvaluateConfig) -> tuple[GcgTruth, list[Finding]]:
    """The ground truth, or the first images of it."""
    truth, findings = read_truth(folder, split)
    if config.limit is None or config.limit >= len(truth.images):
        return truth, findings
    images = truth.images[: config.limit]
    names = {str(image.id) for image in images}
    message = f"only the first {len(images)} of {len(truth.images)} images are evaluated"
    kept = [finding for finding in findings if finding.record in names]
    return GcgTruth(split, images), [*kept, Finding(FindingKind.LIMITED, "*", message)]


def _judge(
    truth: GcgTruth,
    predictions: Path,
    config: EvaluateConfig,
    *,
    java: Path,
    findings: list[Finding],
    progress: Progress,
) -> GcgReport:
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
