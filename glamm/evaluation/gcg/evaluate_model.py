"""Evaluate a model: ask it, judge its answers, write and record the report."""

from dataclasses import replace
from pathlib import Path

from glamm.config.evaluation import EvaluateConfig
from glamm.evaluation.gcg import overlays
from glamm.evaluation.gcg.evaluate_folder import SILENT, Progress, judge, read_part
from glamm.evaluation.gcg.generate import Job, open_job, predict
from glamm.evaluation.gcg.report import GcgReport, write_json
from glamm.evaluation.java_runtime import find_java
from glamm.tracking.runs import ImageWithMasks, start_run

REPORT_JSON = "report.json"
REPORT_MARKDOWN = "report.md"
PREDICTIONS = "predictions"
OVERLAYS = "overlays"


def evaluate_model(
    model: Path,
    root: Path,
    split: str,
    out: Path,
    config: EvaluateConfig,
    *,
    progress: Progress = SILENT,
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
        HostError: No Java starts.
        CheckpointError: The model cannot be loaded.
        DataError: The ground truth is missing or damaged.
    """
    java = find_java()
    truth, findings = read_part(root, split, config)
    progress.say("loading the model")
    job = open_job(model, config)
    progress.begin(len(truth.images))
    answers = out / PREDICTIONS
    unasked = predict(truth.images, root, answers, job, advance=progress.advance)
    report = judge(
        truth, answers, config, java=java, findings=[*findings, *unasked], progress=progress
    )
    report = replace(report, model=job.fingerprint)
    progress.say("drawing images")
    chosen = overlays.choose(report.pairs, config.num_images)
    overlay_images = overlays.collect(chosen, root)
    names = overlays.draw(overlay_images, out / OVERLAYS)
    write_json(out / REPORT_JSON, report.as_json(has_detail=False))
    markdown = report.as_markdown([f"{OVERLAYS}/{name}" for name in names])
    (out / REPORT_MARKDOWN).write_text(markdown, encoding="utf-8")
    progress.say("recording the run")
    log_evaluation(report, overlay_images, config, job)
    return report


def log_evaluation(
    report: GcgReport, overlay_images: list[ImageWithMasks], config: EvaluateConfig, job: Job
) -> None:
    """Record numbers and images with the tracker; offline unless a key is set."""
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
        run.log_images(report.split, overlay_images)
        is_failed = False
    finally:
        run.finish(is_failed=is_failed)
