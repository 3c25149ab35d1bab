"""`glamm data prepare`: from data sets to training shards."""

import os
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from glamm.config.data import PrepareConfig
from glamm.config.section import load_section
from glamm.data.preparation import prepare as preparation
from glamm.data.preparation.incremental import Block

_MAX_PRINTED_ISSUES = 20  # on the terminal; the quarantine file has all


def prepare(
    root: Path,
    out: Path,
    *,
    params: Path | None = None,
    set_: Annotated[tuple[str, ...], Parameter(name="--set", negative=())] = (),
    workers: int | None = None,
) -> None:
    """Check the data sets below a folder and write shards for training.

    An interrupted run continues where it stopped; a run over data that changed in part rebuilds only the shards
    concerned.

    Args:
        root: Holds data sets in official layouts.
        out: Gets train/, val/, test/, manifest.json and quarantine.jsonl. Replaced as a whole at the end.
        params: A params file; `params.yaml` of the working directory unless given.
        set_: `prepare.key=value`, any number of times.
        workers: Processes that check and write; the shards do not depend on it. All cores unless given.
    """
    config = load_section("prepare", PrepareConfig, params, set_)
    console = Console(stderr=True, soft_wrap=True, markup=False, highlight=False)
    columns = (
        TextColumn(
            "{task.completed} images, {task.fields[left_out]} left out, "
            "{task.fields[written]} shards written, {task.fields[kept]} kept"
        ),
        BarColumn(),
        TimeElapsedColumn(),
    )
    left_out, shards = 0, {True: 0, False: 0}
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=None, left_out=0, written=0, kept=0)

        def report(block: Block) -> None:
            nonlocal left_out
            for issue in block.issues[: max(_MAX_PRINTED_ISSUES - left_out, 0)]:
                progress.console.print(str(issue))
            left_out += sum(issue.is_loss for issue in block.issues)
            shards[block.is_kept] += len(block.content.shards)
            progress.update(
                task,
                advance=block.content.num_images,
                left_out=left_out,
                written=shards[False],
                kept=shards[True],
            )

        num_workers = workers or len(os.sched_getaffinity(0))
        manifest = preparation.prepare(root, out, config, workers=num_workers, on_block=report)
    for split, datasets in manifest.counts.items():
        for dataset, counts in datasets.items():
            samples = ", ".join(f"{number} {name}" for name, number in counts.samples.items())
            console.print(f"{split}: {dataset}: {counts.images} images ({samples})")
    console.print(f"{shards[False]} shards written, {shards[True]} kept from before")
    if left_out:
        file = out / preparation.QUARANTINE_FILE
        console.print(f"{left_out} records or parts were left out; all are listed in {file}")
