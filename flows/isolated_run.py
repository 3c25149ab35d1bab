"""Runs the pipeline with other parameters in a separate working tree, without a server.

    python -m flows.isolated_run photos --set synth.cutouts=/images/objects --set synth.backgrounds=/images/scenes

The working tree stays in .runs/worktrees/NAME, so that its images can be inspected. The results are saved as the DVC
experiment NAME. The checkout's data, models and reports stay as they are.
"""

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
from glamm.subprocesses import run_supervised

app = App(
    name="flows.isolated_run",
    help="Run the pipeline with other parameters in a separate working tree.",
)


@app.default
def run(
    name: str, *, overrides: Annotated[list[str] | None, Parameter(name="--set")] = None
) -> None:
    """Run every stage that is not up to date, then print the numbers.

    Args:
        name: The name of the working tree and of the experiment.
        overrides: section.key=value; may be given any number of times.
    """
    workspace = open_workspace(Path.cwd(), name=name)
    override(workspace, overrides or [])
    environment = stage_environment(workspace.root)
    done = run_supervised(dvc_command("repro"), cwd=workspace.root, env=environment)
    if done.returncode:
        raise HostError(
            f"dvc repro ended with status {done.returncode} in {workspace.root}; the stage's message is above. "
            "Fix the cause and run the same command again: completed stages are not repeated."
        )
    save_experiment(workspace)
    report = [sys.executable, "-m", "glamm", "report"]
    if run_supervised(report, cwd=workspace.root, env=environment).returncode:
        raise HostError(f"glamm report failed in {workspace.root}; its message is above.")


def main() -> None:
    """Run the command line; an expected failure prints one line."""
    try:
        app(exit_on_error=False)
    except GlammError as error:
        Console(stderr=True, soft_wrap=True, markup=False).print(f"error: {error}")
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
