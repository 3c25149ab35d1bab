"""`glamm synth`: a data set of scenes with exact masks in the official layouts."""

import json
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter, validators
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress

from glamm.config.section import load_section
from glamm.config.synthetic import SynthConfig
from glamm.errors import RunInterrupted
from glamm.synthetic.dataset import count_scenes, default_workers, write_dataset


def synth(
    out: Path,
    *,
    params: Path | None = None,
    set_: Annotated[tuple[str, ...], Parameter(name="--set", negative=())] = (),
    cutouts: Path | None = None,
    backgrounds: Path | None = None,
    workers: Annotated[int | None, Parameter(validator=validators.Number(gte=1))] = None,
) -> None:
    """Write GranD and GranD-f files with images; continue where an interrupted run stopped.

    Args:
        out: A new or empty folder, or one that the same parameters began.
        params: A params file; `params.yaml` of the working directory unless given.
        set_: `synth.key=value`, any number of times.
        cutouts: A folder of RGBA images, each with a .txt of the same name or a descriptive file name; they are
            pasted on the backgrounds instead of drawing.
        backgrounds: A folder of photographs.
        workers: Processes; the files do not depend on it. All cores unless given.
    """
    overrides = [*set_]
    overrides += [f"synth.cutouts={json.dumps(str(cutouts))}"] if cutouts else []
    overrides += [f"synth.backgrounds={json.dumps(str(backgrounds))}"] if backgrounds else []
    config = load_section("synth", SynthConfig, params, overrides)
    console = Console(stderr=True)
    columns = (*Progress.get_default_columns(), MofNCompleteColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("scenes", total=count_scenes(config))
        try:
            write_dataset(
                out,
                config,
                workers=default_workers() if workers is None else workers,
                advance=lambda number: progress.advance(task, number),
            )
        except KeyboardInterrupt as error:
            reason = f"the finished scenes stay in {out}; the same command continues from there"
            raise RunInterrupted(reason) from error
    console.print(f"{count_scenes(config)} scenes in {out}", markup=False)
