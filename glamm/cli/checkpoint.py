"""`glamm checkpoint`: what a model folder is, and whether it is whole."""

import json
from pathlib import Path

from cyclopts import App

app = App(name="checkpoint", help="Look at a model folder, or check it.")


@app.command
def show(folder: Path) -> None:
    """Say what a model folder holds, without loading it.

    Args:
        folder: Ours.
    """
    from rich.console import Console  # noqa: PLC0415 - keeps `glamm --help` quick
    from rich.table import Table  # noqa: PLC0415

    from glamm.checkpoints.inspect import describe  # noqa: PLC0415

    told = describe(folder)
    table = Table("part", "tensors", "parameters", "type")
    for part in told.parts:
        table.add_row(part.name, f"{part.num_tensors}", f"{part.num_parameters:,}", part.dtype)
    console = Console(soft_wrap=True, highlight=False)
    console.print(table)
    console.print(f"sha256   {told.sha256}", markup=False)
    console.print(f"config   {told.config.model_dump_json()}", markup=False)
    console.print(f"lineage  {json.dumps(told.lineage)}", markup=False)


@app.command
def verify(folder: Path) -> None:
    """Load a model folder completely: checksums, names, shapes, and a run of every part on a probe.

    Args:
        folder: Ours.
    """
    from rich.console import Console  # noqa: PLC0415 - keeps `glamm --help` quick

    from glamm.checkpoints.inspect import verify as run  # noqa: PLC0415

    run(folder)
    Console(soft_wrap=True).print(f"{folder}: whole; every part runs", markup=False)
