"""What a run shows in Prefect's pages: a table of its stages and the reports' numbers."""

import json
from collections.abc import Sequence
from pathlib import Path

from prefect.artifacts import create_markdown_artifact, create_table_artifact

from flows.stages import StageOutcome

JSON = dict[str, "JSON"] | list["JSON"] | str | float | bool | None
REPORTS = Path("data/reports")


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
    """The numbers of every data/reports/*/report.json as one Markdown table; empty without any."""
    columns = {
        path.parent.name: _numbers(path) for path in sorted((root / REPORTS).glob("*/report.json"))
    }
    names = list(dict.fromkeys(name for numbers in columns.values() for name in numbers))
    if not names:
        return ""
    lines = [
        "| | " + " | ".join(columns) + " |",
        "|---|" + "---:|" * len(columns),
        *(
            f"| {name} | "
            + " | ".join(f"{n[name]:.3f}" if name in n else "" for n in columns.values())
            + " |"
            for name in names
        ),
    ]
    return "\n".join(lines)


def _numbers(path: Path) -> dict[str, float]:
    """Every number of a report under its dotted name."""
    found: dict[str, float] = {}

    def walk(node: JSON, name: str) -> None:
        if isinstance(node, dict):
            for key, value in node.items():
                walk(value, f"{name}.{key}" if name else str(key))
        elif isinstance(node, int | float) and not isinstance(node, bool):
            found[name] = float(node)

    walk(json.loads(path.read_text(encoding="utf-8")), "")
    return found
