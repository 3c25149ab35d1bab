"""The progress bar of an evaluation."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import MofNCompleteColumn
from rich.progress import Progress as ProgressBar

from glamm.evaluation.gcg.evaluate_folder import Progress


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """Show a bar for the images and a line for the current step, on the terminal's error stream."""
    columns = (*ProgressBar.get_default_columns(), MofNCompleteColumn())
    with ProgressBar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("reading", total=None)

        def say(what: str) -> None:
            bar.update(task, description=what)

        def begin(total: int) -> None:
            bar.update(task, description="images", total=total)

        yield Progress(say=say, begin=begin, advance=lambda: bar.advance(task))
