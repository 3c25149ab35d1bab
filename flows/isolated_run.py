"""The pipeline with other parameters, in a working tree of its own and without a server: `python -m flows.isolated_run NAME`.

    python -m flows.isolated_run photos --set synth.cutouts=/images/things --set synth.backgrounds=/images/places

The tree stays in .runs/worktrees/NAME, so that its images can be looked at; the results are kept as the DVC
experiment NAME. The checkout's own data, models and reports stay as they are.
"""

import subprocess
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from rich.console import Console

from flows.workspace import (
    dvc_command,
    open_workspace,
    override,
    save_experiment,
    stage_environment,
)
from glamm.errors import GlammError, HostError

app = App(
    name="flows.isolated_run", help="Run the pipeline with other parameters in a tree of its own."
)


@app.default
def run(
    name: str, *, overrides: Annotated[list[str] | None, Parameter(name="--set")] = None
) -> None:
    """Run every stage that is not up to date, then show the numbers.

    Args:
        name: Of the tree and of the experiment.
        overrides: section.key=value, any number of times.
    """
    workspace = open_workspace(Path.cwd(), name=name)
    override(workspace, overrides or [])
    environment = stage_environment(workspace.root)
    done = subprocess.run(dvc_command("repro"), cwd=workspace.root, env=environment, check=False)
    if done.returncode:
        raise HostError(
            f"dvc repro ended with status {done.returncode} in {workspace.root}; the stage's message is above. "
            "Repair the cause and run the same command again: finished stages are not repeated."
        )
    save_experiment(workspace)
    subprocess.run(
        [sys.executable, "-m", "glamm", "summary"], cwd=workspace.root, env=environment, check=True
    )


def main() -> None:
    """Run the command line; an expected failure prints one line."""
    try:
        app(exit_on_error=False)
    except GlammError as error:
        Console(stderr=True, soft_wrap=True, markup=False).print(f"error: {error}")
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
