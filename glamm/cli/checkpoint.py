"""`glamm checkpoint`: describe a model folder, or verify that it is complete."""

import json
from pathlib import Path

from cyclopts import App
from rich.console import Console
from rich.table import Table

from glamm.checkpoints import inspect
from glamm.cli.progress import progress_bar

app = App(name="checkpoint", help="Describe or verify a model folder.")


@app.command
def show(folder: Path) -> None:
    """Describe a model folder without loading it: parts, parameters, types, checksum, config and lineage.

    Args:
        folder: A model folder.
    """
    description = inspect.describe(folder)
    table = Table("part", "tensors", "parameters", "type")
    for part in description.parts:
        table.add_row(part.name, f"{part.num_tensors}", f"{part.num_parameters:,}", part.dtype)
    console = Console(soft_wrap=True, highlight=False)
    console.print(table)
    console.print(f"sha256   {description.sha256}", markup=False)
    console.print(f"config   {description.config.model_dump_json()}", markup=False)
    console.print(f"lineage  {json.dumps(description.lineage.as_json())}", markup=False)


@app.command
def verify(folder: Path) -> None:
    """Load a model folder completely: checksums, names, shapes, and a forward pass of every part.

    Args:
        folder: A model folder.
    """
    with progress_bar(counts_bytes=True) as progress:
        inspect.verify(folder, progress=progress)
    Console(soft_wrap=True).print(f"{folder}: complete; every part runs", markup=False)
