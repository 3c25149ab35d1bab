"""`glamm evaluate gcg`: the paper's five metrics, from a model or from a folder of predictions."""

import json
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from rich.console import Console
from rich.table import Table

from glamm.allocator import tune_allocator
from glamm.cli.progress import progress_bar
from glamm.config.dtype import DTypeName
from glamm.config.evaluation import EvaluateConfig
from glamm.config.section import load_section
from glamm.errors import ConfigError
from glamm.evaluation.gcg.evaluate_folder import evaluate_folder
from glamm.evaluation.gcg.report import refuse_faults
from glamm.structures.issue import IssueKind
from glamm.structures.report import PAPER_METRICS, REPORT_FILE, GcgReport

_OF_CAPTIONS = {IssueKind.INVALID_TEXT, IssueKind.UNSCORED_CAPTION}
"""Printed one by one: the other images' numbers do not show that a caption was not scored as it is."""


def gcg(  # noqa: PLR0913 - two ways in: a folder of predictions, or a model and its data
    *,
    split: Literal["val", "test"],
    predictions: Path | None = None,
    ground_truth: Path | None = None,
    json_file: Annotated[Path | None, Parameter(name="--json")] = None,
    model: Path | None = None,
    data: Path | None = None,
    out: Path | None = None,
    device: str = "auto",
    dtype: DTypeName | None = None,
    similarity: str | None = None,
    limit: int | None = None,
    accept_faults: Annotated[bool, Parameter(negative=())] = False,
    params: Path | None = None,
    set_: Annotated[tuple[str, ...], Parameter(name="--set", negative=())] = (),
) -> None:
    """Grounded conversation generation: METEOR, CIDEr, AP50, mIoU and mask recall.

    Either `--predictions DIR --ground-truth DIR --json FILE`, or `--model DIR --data ROOT --out DIR`, which runs the
    model first and continues where an interrupted run stopped.

    Args:
        split: Of the ground truth.
        predictions: A folder with one JSON file an image, in the release's format.
        ground_truth: The folder of the official files, or a data root.
        json_file: File for the numbers and all details.
        model: A model folder.
        data: A data root with GranDf/annotations/val_test and the images.
        out: Folder for report.json, report.md, overlays and the answers.
        device: auto (the first CUDA GPU if there is one, else the CPU), cpu, cuda or cuda:1.
        dtype: Type in which the weights are held and used; that of the model folder by default. Short for
            `--set evaluate.dtype=...`.
        similarity: How phrases are compared: a JSON table, or the name or folder of a BERT; the installed sentence
            encoder unless given. Short for `--set evaluate.similarity=...`.
        limit: Only the first images of the split. Short for `--set evaluate.limit=...`.
        accept_faults: Exit with 0 although predictions are missing or masks do not fit; they count as the report says.
        params: A params file; `params.yaml` of the working directory unless given.
        set_: `evaluate.key=value`, any number of times.
    """
    overrides = [*set_]
    overrides += [f"evaluate.similarity={json.dumps(similarity)}"] if similarity else []
    overrides += [f"evaluate.limit={limit}"] if limit is not None else []
    overrides += [f"evaluate.dtype={dtype}"] if dtype else []
    config = load_section("evaluate", EvaluateConfig, params, overrides)
    if predictions and ground_truth and not (model or data or out):
        report = _evaluate_folder(predictions, ground_truth, split, json_file, config)
        written = json_file
    elif model and data and out and not (predictions or ground_truth or json_file):
        report, written = _evaluate_model(model, data, split, out, config, device=device)
    else:
        raise ConfigError(
            "give either --predictions, --ground-truth and if wanted --json, or --model, --data and --out"
        )
    _print_report(report, written)
    if not accept_faults:
        refuse_faults(report, path=written)


def _evaluate_folder(
    predictions: Path, ground_truth: Path, split: str, out: Path | None, config: EvaluateConfig
) -> GcgReport:
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)  # an impossible path is reported first
    with progress_bar() as progress:
        report = evaluate_folder(predictions, ground_truth, split, config, progress=progress)
    if out is not None:
        report.save(out)
    return report


def _evaluate_model(
    model: Path, data: Path, split: str, out: Path, config: EvaluateConfig, *, device: str
) -> tuple[GcgReport, Path]:
    tune_allocator()  # before torch makes its first tensor
    from glamm.evaluation.gcg.evaluate_model import evaluate_model  # noqa: PLC0415

    with progress_bar() as progress:
        report = evaluate_model(model, data, split, out, config, device=device, progress=progress)
    return report, out / REPORT_FILE


def _print_report(report: GcgReport, written: Path | None) -> None:
    """The five numbers as the paper prints them, and the issues by kind."""
    table = Table(f"{report.split}, times 100", *PAPER_METRICS)
    for mode, scores in report.modes.items():
        table.add_row(mode, *(f"{100 * value:.1f}" for value in scores.paper_metrics.values()))
    console = Console(soft_wrap=True, highlight=False)
    console.print(table)
    issues = ", ".join(f"{kind} {count}" for kind, count in report.issue_counts.items())
    if issues:
        console.print(f"findings: {issues}", markup=False)
    for issue in report.issues:
        if issue.kind in _OF_CAPTIONS:
            console.print(f"image {issue.record}: {issue.message}", markup=False)
    if written is not None:
        console.print(str(written), markup=False)
