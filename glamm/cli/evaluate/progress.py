"""The progress bar of an evaluation."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import MofNCompleteColumn
from rich.progress import Progress as ProgressBar

from glamm.evaluation.progress import Progress


class _Bar:
    """A bar for the images and a line for the current activity."""

    def __init__(self, bar: ProgressBar) -> None:
        self._bar = bar
        self._task = bar.add_task("reading", total=None)

    def describe(self, activity: str) -> None:
        self._bar.update(self._task, description=activity)

    def begin(self, total: int) -> None:
        self._bar.update(self._task, description="images", total=total)

    def advance(self) -> None:
        self._bar.advance(self._task)


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """Show a bar for the images and a line for the current step, on the terminal's error stream."""
    columns = (*ProgressBar.get_default_columns(), MofNCompleteColumn())
    with ProgressBar(*columns, console=Console(stderr=True), transient=True) as bar:
        yield _Bar(bar)
