"""`glamm evaluate`: the paper's numbers, from a model or from a folder of predictions."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter

from glamm.allocator import tune_allocator

if TYPE_CHECKING:
    from rich.console import Console

    from glamm.evaluation.gcg.evaluate_folder import Progress
    from glamm.evaluation.gcg.report import GcgReport

app = App(
    name="evaluate", help="The paper's numbers, from a model or from a folder of predictions."
)


@app.command
def gcg(  # noqa: PLR0913 - two ways in: a folder of predictions, or a model and its data
    *,
    split: Literal["val", "test"],
    predictions: Path | None = None,
    ground_truth: Path | None = None,
    json: Annotated[Path | None, Parameter(name="--json")] = None,
    model: Path | None = None,
    data: Path | None = None,
    out: Path | None = None,
    similarity: str | None = None,
    limit: int | None = None,
    accept_faults: Annotated[bool, Parameter(negative=())] = False,
    params: Path | None = None,
    set_: Annotated[tuple[str, ...], Parameter(name="--set", negative=())] = (),
) -> None:
    """Grounded conversation generation: METEOR, CIDEr, AP50, mIoU and mask recall.

    Either `--predictions DIR --ground-truth DIR --json FILE`, or `--model DIR --data ROOT --out DIR`, which asks the
    model first and goes on where an interrupted run stopped.

    Args:
        split: Of the ground truth.
        predictions: A folder with one JSON file an image, in the release's format.
        ground_truth: The folder of the official files, or a data root.
        json: File for the numbers and all details.
        model: A model folder.
        data: A data root with GranDf/annotations/val_test and the images.
        out: Folder for report.json, report.md, overlays and the answers.
        similarity: How phrases are compared: a JSON table, or the name or folder of a BERT; the installed sentence
            encoder unless given.
        limit: Only the first images of the split.
        accept_faults: End well although predictions are missing or masks do not fit; they count as the report says.
        params: A params file; `params.yaml` of the working directory unless given.
        set_: `evaluate.key=value`, any number of times.
    """
    import json as codec  # noqa: PLC0415 - keeps `glamm --help` quick

    from rich.console import Console  # noqa: PLC0415

    from glamm.config.params import load_params  # noqa: PLC0415
    from glamm.errors import ConfigError  # noqa: PLC0415
    from glamm.evaluation.gcg.evaluate_folder import evaluate_folder  # noqa: PLC0415
    from glamm.evaluation.gcg.report import refuse_faults, write_json  # noqa: PLC0415

    overrides = [*set_]
    overrides += [f"evaluate.similarity={codec.dumps(similarity)}"] if similarity else []
    overrides += [f"evaluate.limit={limit}"] if limit is not None else []
    config = load_params(params, overrides).evaluate
    console = Console(stderr=True)
    if predictions and ground_truth and not (model or data or out):
        if json is not None:
            json.parent.mkdir(
                parents=True, exist_ok=True
            )  # a place that cannot be is said before the work
        with _shown(console) as progress:
            report = evaluate_folder(predictions, ground_truth, split, config, progress=progress)
        if json is not None:
            write_json(json, report.as_json(has_detail=True))
        written = json
    elif model and data and out and not (predictions or ground_truth or json):
        tune_allocator()
        from glamm.evaluation.gcg.evaluate_model import REPORT_JSON, evaluate_model  # noqa: PLC0415 - torch

        with _shown(console) as progress:
            report = evaluate_model(model, data, split, out, config, progress=progress)
        written = out / REPORT_JSON
    else:
        raise ConfigError(
            "give either --predictions, --ground-truth and if wanted --json, or --model, --data and --out"
        )
    _tell(report, written)
    if not accept_faults:
        refuse_faults(report.findings, written=written)


@app.command
def referring(
    *,
    model: Path,
    shards: Path,
    split: str = "val",
    json: Annotated[Path | None, Parameter(name="--json")] = None,
) -> None:
    """Referring segmentation: gIoU and cIoU of one mask an expression.

    Args:
        model: A model folder.
        shards: Prepared data with referring expressions.
        split: Of the shards.
        json: File for the numbers.
    """
    from rich.console import Console  # noqa: PLC0415 - keeps `glamm --help` quick
    from rich.table import Table  # noqa: PLC0415

    from glamm.evaluation.gcg.report import write_json  # noqa: PLC0415
    from glamm.evaluation.referring_model import evaluate_referring  # noqa: PLC0415 - torch

    if json is not None:
        json.parent.mkdir(parents=True, exist_ok=True)
    tune_allocator()
    with _shown(Console(stderr=True)) as progress:
        report = evaluate_referring(
            model, shards, split, begin=progress.begin, advance=progress.advance
        )
    table = Table(f"{split}, times 100", "gIoU", "cIoU")
    for name, scores in (("compat", report.compat), ("fixed", report.fixed)):
        table.add_row(name, f"{100 * scores.giou:.1f}", f"{100 * scores.ciou:.1f}")
    console = Console(soft_wrap=True, highlight=False)
    console.print(table)
    console.print(f"{report.num_expressions} expressions of {report.num_images} images")
    if json is not None:
        write_json(json, report.as_json())
        console.print(str(json), markup=False)


@contextmanager
def _shown(console: "Console") -> Iterator["Progress"]:
    """A bar for the images and a line for what is being done."""
    from rich.progress import MofNCompleteColumn  # noqa: PLC0415
    from rich.progress import Progress as Bar  # noqa: PLC0415

    from glamm.evaluation.gcg.evaluate_folder import Progress  # noqa: PLC0415

    columns = (*Bar.get_default_columns(), MofNCompleteColumn())
    with Bar(*columns, console=console, transient=True) as bar:
        task = bar.add_task("reading", total=None)

        def say(what: str) -> None:
            bar.update(task, description=what)

        def begin(total: int) -> None:
            bar.update(task, description="images", total=total)

        yield Progress(say=say, begin=begin, advance=lambda: bar.advance(task))


def _tell(report: "GcgReport", written: Path | None) -> None:
    """The five numbers as the paper prints them, and what was noticed."""
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    from glamm.evaluation.findings import count_findings  # noqa: PLC0415
    from glamm.evaluation.gcg.score import FIVE  # noqa: PLC0415

    table = Table(f"{report.split}, times 100", *FIVE)
    for name, scores in (("compat", report.result.compat), ("fixed", report.result.fixed)):
        table.add_row(name, *(f"{100 * scores.five[column]:.1f}" for column in FIVE))
    console = Console(soft_wrap=True, highlight=False)
    console.print(table)
    noticed = ", ".join(f"{kind} {n}" for kind, n in count_findings(report.findings).items())
    if noticed:
        console.print(f"findings: {noticed}", markup=False)
    if written is not None:
        console.print(str(written), markup=False)
