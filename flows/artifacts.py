"""What a run shows in Prefect's pages: a table of its stages and the reports' five numbers."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from prefect.artifacts import create_markdown_artifact, create_table_artifact

from flows.stages import StageOutcome

JSON = dict[str, "JSON"] | list["JSON"] | str | float | bool | None
REPORTS = Path("data/reports")
NUMBERS = {
    "METEOR": ("captions", "METEOR"),
    "CIDEr": ("captions", "CIDEr"),
    "AP50": ("AP50",),
    "mIoU": ("mIoU",),
    "Recall": ("Recall",),
}
"""The paper's five numbers for grounded captions, and where a mode of report.json has each."""


def publish_stage_table(outcomes: Sequence[StageOutcome]) -> None:
    """Show stage, state and seconds as the table artifact `stages`."""
    rows = [{"stage": o.stage, "state": o.state, "seconds": round(o.seconds, 1)} for o in outcomes]
    create_table_artifact(rows, key="stages", description="The stages of this run")


def publish_report(root: Path) -> None:
    """Show the numbers of the reports under data/reports, if there are any, as the artifact `gcg`."""
    markdown = report_table(root)
    if markdown:
        create_markdown_artifact(
            markdown, key="gcg", description="Grounded conversation generation"
        )


def report_table(root: Path) -> str:
    """The five numbers of every data/reports/*/report.json, times 100, as a Markdown table; empty without any."""
    rows = [row for path in sorted((root / REPORTS).glob("*/report.json")) for row in _rows(path)]
    if not rows:
        return ""
    head = f"| | {' | '.join(NUMBERS)} |"
    return "\n".join([head, "|---|" + "---:|" * len(NUMBERS), *rows])


def _rows(path: Path) -> Iterator[str]:
    report = json.loads(path.read_text(encoding="utf-8"))
    for mode in ("compat", "fixed"):
        if mode in report:
            cells = [_cell(report[mode], place) for place in NUMBERS.values()]
            yield f"| {path.parent.name}, {mode} | {' | '.join(cells)} |"


def _cell(mode: JSON, place: tuple[str, ...]) -> str:
    for key in place:
        mode = mode.get(key) if isinstance(mode, dict) else None
    return f"{100 * mode:.1f}" if isinstance(mode, int | float) else "–"  # noqa: RUF001 - not computed
