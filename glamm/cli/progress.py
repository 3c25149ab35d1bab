"""The progress bars of evaluations and conversions."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import DownloadColumn, MofNCompleteColumn, ProgressColumn
from rich.progress import Progress as ProgressBar

from glamm.progress import Progress


class _Bar:
    """A bar for what is counted, and a line for the current activity."""

    def __init__(self, bar: ProgressBar) -> None:
        self._bar = bar
        self._task = bar.add_task("reading", total=None)

    def describe(self, activity: str) -> None:
        self._bar.update(self._task, description=activity)

    def begin(self, total: int) -> None:
        self._bar.reset(self._task, total=total)

    def advance(self, amount: int = 1) -> None:
        self._bar.advance(self._task, amount)


@contextmanager
def progress_bar(*, counts_bytes: bool = False) -> Iterator[Progress]:
    """Show a bar and a line for the current step, on the terminal's error stream; nothing if it is no terminal.

    Args:
        counts_bytes: The bar counts bytes of weights instead of images.
    """
    count: ProgressColumn = DownloadColumn() if counts_bytes else MofNCompleteColumn()
    columns = (*ProgressBar.get_default_columns(), count)
    console = Console(stderr=True)
    # rich ends a bar with an empty line where it cannot draw one
    is_hidden = not console.is_terminal
    with ProgressBar(*columns, console=console, transient=True, disable=is_hidden) as bar:
        yield _Bar(bar)
