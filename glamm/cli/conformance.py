"""`glamm conformance`: check numerical parity with the release."""

import sys
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Column, Table

from glamm.evaluation.conformance import run_conformance


def conformance(folder: Path, *, dump: Path | None = None) -> None:
    """Run every known case of a conformance set, print a table, and exit with 1 if a tensor is off.

    Args:
        folder: Holds config.json, weights.safetensors, pixels.safetensors and the cases.
        dump: Folder for the computed tensors, one <case>.safetensors each, under the names of the reference.
    """
    torch.set_num_threads(1)  # the models are tiny: on a busy machine more threads only wait
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
        console.print(f"unknown cases, not run: {', '.join(unknown)}")
    num_off = sum(not line.is_ok for line in comparisons)
    console.print(f"{len(comparisons)} comparisons, {num_off} off")
    if num_off:
        sys.exit(1)
