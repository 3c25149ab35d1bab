"""`glamm conformance`: check that this installation computes what the release computes."""

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from rich.console import Console
from rich.table import Column, Table

app = App(name="conformance", help="Compare this installation with the release's numbers.")


@app.default
def conformance(
    folder: Path, *, dump: Annotated[Path | None, Parameter(help="Write what was computed.")] = None
) -> None:
    """Run every known case of a conformance set, print a table, and end with 1 if anything is off.

    Args:
        folder: Holds config.json, weights.safetensors, pixels.safetensors and the cases.
        dump: Where to write what was computed, one <case>.safetensors with the names of the reference.
    """
    import torch  # noqa: PLC0415 - loads slowly

    from glamm.evaluation.conformance import run_conformance  # noqa: PLC0415 - loads torch

    torch.set_num_threads(
        1
    )  # the models are tiny; on a busy machine more threads only wait for each other
    console = Console()
    table = Table("case", Column("tensor", overflow="fold"), "worst difference", "tolerance", "ok")
    comparisons, unknown = [], []
    for result in run_conformance(folder, dump=dump):
        comparisons.extend(result.comparisons)
        if not result.comparisons:
            unknown.append(result.name)
    for line in comparisons:
        verdict = "[green]yes[/]" if line.is_ok else "[bold red]NO[/]"
        worst = line.note or f"{line.worst:.1e}"
        table.add_row(line.case, line.tensor, worst, f"{line.tolerance:.0e}", verdict)
    console.print(table)
    if unknown:
        console.print(f"not known, not run: {', '.join(unknown)}")
    num_off = sum(not line.is_ok for line in comparisons)
    console.print(f"{len(comparisons)} comparisons, {num_off} off")
    if num_off:
        sys.exit(1)
