"""The artifacts of a run in Prefect's pages: a table of its stages and the metrics of its reports."""

from collections.abc import Sequence
from pathlib import Path

from prefect.artifacts import create_markdown_artifact, create_table_artifact

from flows.stages import StageOutcome
from glamm.errors import DataError
from glamm.structures.report import PAPER_METRICS, REPORT_FILE, GcgReport

REPORTS = Path("data/reports")


def publish_stage_table(outcomes: Sequence[StageOutcome]) -> None:
    """Show stage, state and seconds as the table artifact `stages`."""
    rows = [{"stage": o.stage, "state": o.state, "seconds": round(o.seconds, 1)} for o in outcomes]
    create_table_artifact(rows, key="stages", description="The stages of this run")


def publish_report(root: Path) -> None:
    """Show the metrics of the reports under data/reports, if there are any, as the artifact `gcg`.

    A report that cannot be read is shown as its error and does not fail the run, whose results are already complete.
    """
    try:
        markdown = report_table(root)
    except DataError as error:
        markdown = f"No table: {error}"
    if markdown:
        create_markdown_artifact(
            markdown, key="gcg", description="Grounded conversation generation"
        )


def report_table(root: Path) -> str:
    """The paper's metrics of every data/reports/*/report.json, times 100, as a Markdown table; empty without any.

    Raises:
        DataError: A report cannot be read.
    """
    paths = sorted((root / REPORTS).glob(f"*/{REPORT_FILE}"))
    rows = [row for path in paths for row in _rows(path.parent.name, GcgReport.load(path))]
    if not rows:
        return ""
    head = f"| | {' | '.join(PAPER_METRICS)} |"
    return "\n".join([head, "|---|" + "---:|" * len(PAPER_METRICS), *rows])


def _rows(name: str, report: GcgReport) -> list[str]:
    return [
        f"| {name}, {mode} | "
        + " | ".join(f"{100 * value:.1f}" for value in scores.paper_metrics.values())
        + " |"
        for mode, scores in report.modes.items()
    ]
