"""Evaluate a model: generate its answers, score them, write the report and record it with the tracker."""

from pathlib import Path

from glamm.config.evaluation import EvaluateConfig
from glamm.evaluation.caption_scorer import CaptionScorer
from glamm.evaluation.gcg import overlays
from glamm.evaluation.gcg.evaluate_folder import evaluate_pairs
from glamm.evaluation.gcg.examples import choose_examples, write_examples
from glamm.evaluation.gcg.generate import ModelUnderTest, generate_predictions
from glamm.evaluation.gcg.ground_truth import read_ground_truth
from glamm.evaluation.gcg.predictions import pair_with_predictions
from glamm.evaluation.gcg.report import render_markdown
from glamm.files import write_text
from glamm.inference.device import AUTO
from glamm.progress import NO_PROGRESS, Progress
from glamm.structures.issue import IssueLog
from glamm.structures.report import EXAMPLES_FILE, REPORT_FILE, GcgReport
from glamm.tracking.runs import ImageWithMasks, start_run

MARKDOWN_FILE = "report.md"
PREDICTIONS = "predictions"
OVERLAYS = "overlays"


def evaluate_model(
    model: Path,
    root: Path,
    split: str,
    out: Path,
    config: EvaluateConfig,
    *,
    device: str = AUTO,
    progress: Progress = NO_PROGRESS,
) -> GcgReport:
    """Run a model on a split, score its answers, and write report.json, report.md and overlays.

    Args:
        model: A model folder.
        root: A data root.
        split: val or test.
        out: Folder of the report; the answers are in its `predictions`.
        config: Question, limits, similarity.
        device: Where the model runs; see `choose_device`.
        progress: Shows what is being computed and how many images are answered.

    Returns:
        The report as it was written, without the scores of the single images.

    Raises:
        HostError: No Java starts.
        CheckpointError: The model cannot be loaded.
        DataError: The ground truth is missing or damaged.
    """
    captions = CaptionScorer.from_installed_java()
    issues = IssueLog()
    truth = read_ground_truth(root, split, issues, limit=config.limit)
    progress.describe("loading the model")
    loaded = ModelUnderTest.load(model, config, device=device)
    progress.describe("images")
    progress.begin(len(truth.images))
    answers = out / PREDICTIONS
    unanswered = generate_predictions(
        truth.images, root, answers, loaded, issues, progress=progress
    )
    pairs = pair_with_predictions(truth.images, answers, issues, unanswered=unanswered)
    report = evaluate_pairs(
        truth, pairs, captions, config, issues, model=loaded.fingerprint, progress=progress
    )
    chosen = choose_examples(pairs, report.fixed)
    report = report.without_detail().model_copy(update={"examples": tuple(chosen)})
    progress.describe("drawing images")
    images = overlays.load_images(overlays.choose_evenly(pairs, config.num_images), root)
    names = overlays.write_overlays(images, out / OVERLAYS)
    write_examples(pairs, chosen, root, out / EXAMPLES_FILE)
    report.save(out / REPORT_FILE)
    markdown = render_markdown(report, [f"{OVERLAYS}/{name}" for name in names])
    write_text(out / MARKDOWN_FILE, markdown)
    progress.describe("recording the run")
    log_evaluation(report, images, config, question=loaded.question)
    return report


def log_evaluation(
    report: GcgReport, images: list[ImageWithMasks], config: EvaluateConfig, *, question: str
) -> None:
    """Record metrics and images with the tracker; offline unless a key is set."""
    parameters = {
        **config.model_dump(),
        "question": question,
        "model": report.model,
        "split": report.split,
        "similarity": report.similarity,
    }
    run = start_run(name=f"evaluate-{report.split}", job="evaluate", config=parameters)
    is_failed = True
    try:
        run.summarize(
            {
                f"{mode}/{name}": value
                for mode, scores in report.modes.items()
                for name, value in scores.paper_metrics.items()
            }
        )
        run.log_images(report.split, images)
        is_failed = False
    finally:
        run.finish(is_failed=is_failed)
