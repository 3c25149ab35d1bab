"""`glamm report`: the results of the last pipeline run."""

from pathlib import Path

from rich.console import Console
from rich.table import Table

from glamm.errors import DataError
from glamm.files import read_json_object
from glamm.structures.report import (
    EXAMPLES_FILE,
    PAPER_METRICS,
    REFSEG_FILE,
    REPORT_FILE,
    GcgReport,
    ReferringReport,
    caption_examples,
)

_REPORTS = Path("data") / "reports"
_MODEL = Path("data") / "models" / "glamm-tiny"


def report() -> None:
    """Show the metrics of the last evaluation, two images of it, and how to open the page."""
    console = Console(soft_wrap=True, highlight=False, markup=False)
    table = Table("grounded conversation", *PAPER_METRICS, title="x100, as in the paper")
    reports = {
        split: GcgReport.load(_existing(_REPORTS / split / REPORT_FILE))
        for split in ("val", "test")
    }
    for split, evaluation in reports.items():
        for mode, scores in evaluation.modes.items():
            values = scores.paper_metrics.values()
            table.add_row(f"{split}, {mode}", *(f"{100 * value:.1f}" for value in values))
    console.print(table)
    referring = ReferringReport.load(_existing(_REPORTS / "val" / REFSEG_FILE))
    console.print(
        f"referring    val, x100: gIoU {100 * referring.fixed.giou:.1f}, "
        f"cIoU {100 * referring.fixed.ciou:.1f} of {referring.num_expressions} expressions"
    )
    console.print(f"evaluation   {_REPORTS / 'val' / 'report.md'}")
    answers = sorted((_REPORTS / "smoke").glob("*.json"))
    if answers:
        console.print(f'the Bento    "{read_json_object(answers[0])["text"]}"')
    runs = sorted((Path(".runs") / "wandb" / "wandb").glob("offline-run-*"))
    if runs:
        console.print(f"W&B record   {runs[-1].parent}")
    if reports["val"].examples:
        console.print(f"two images   {_REPORTS / 'val' / EXAMPLES_FILE}")
    for caption in caption_examples(reports["val"].examples):
        console.print(f"             {caption}")
    console.print(f"open the page with: glamm serve {_MODEL}   (or: make serve)")


def _existing(path: Path) -> Path:
    if not path.exists():
        raise DataError("is missing: run make demo, or dvc repro, first", file=path)
    return path
