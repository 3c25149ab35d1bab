"""`glamm summary`: what the pipeline made, in one table."""

import json
from pathlib import Path
from typing import Any

from cyclopts import App

from glamm.errors import DataError

app = App(name="summary", help="Show the numbers of the last evaluation and where its images are.")

_REPORTS = Path("data") / "reports"
_MODEL = Path("data") / "models" / "glamm-tiny"
_NUMBERS = ("METEOR", "CIDEr", "AP50", "mIoU", "Recall")


@app.default
def summary() -> None:
    """Show the numbers of the last evaluation, where its images are, and how to open the page."""
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    console = Console(soft_wrap=True, highlight=False)
    table = Table("grounded conversation", *_NUMBERS, title="x100, as in the paper")
    for split in ("val", "test"):
        report = _read(_REPORTS / split / "report.json")
        for mode in ("compat", "fixed"):
            table.add_row(
                f"{split}, {mode}",
                *(f"{100 * _number(report[mode], name):.1f}" for name in _NUMBERS),
            )
    console.print(table)
    referring = _read(_REPORTS / "val" / "referring.json")
    console.print(
        f"referring    val, x100: gIoU {100 * referring['fixed']['giou']:.1f}, "
        f"cIoU {100 * referring['fixed']['ciou']:.1f} of {referring['num_expressions']} expressions"
    )
    console.print(f"evaluation   {_REPORTS / 'val' / 'report.md'}")
    images = sorted((_REPORTS / "smoke").glob("*.png")) + sorted(
        (_REPORTS / "val" / "overlays").glob("*.png")
    )
    if images:
        console.print(f"image      {images[0]}")
    answers = sorted((_REPORTS / "smoke").glob("*.json"))
    if answers:
        console.print(f'the Bento    "{_read(answers[0])["text"]}"')
    runs = sorted((Path(".runs") / "wandb" / "wandb").glob("offline-run-*"))
    if runs:
        console.print(f"W&B record   {runs[-1].parent}")
    console.print(f"open the page with: glamm serve {_MODEL}   (or: make serve)")


def _number(report: dict[str, Any], name: str) -> float:
    value = report[name] if name in report else report["captions"][name]
    return float("nan") if value is None else float(value)


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError("is missing: run make demo, or dvc repro, first", file=path) from error
    except ValueError as error:
        raise DataError(f"is no JSON ({error}): run dvc repro again", file=path) from error
