"""How long work reports its progress."""

from typing import Protocol, runtime_checkable


@runtime_checkable
class Progress(Protocol):
    """Shows the progress of a work, for example as a bar."""

    def describe(self, activity: str) -> None:
        """Show what is being done now."""
        ...

    def begin(self, total: int) -> None:
        """Start to count items, of which there are `total`: images of an evaluation, bytes of weights."""
        ...

    def advance(self, amount: int = 1) -> None:
        """Count items. Calls come from one thread."""
        ...


class _NoProgress:
    def describe(self, activity: str) -> None:
        pass

    def begin(self, total: int) -> None:
        pass

    def advance(self, amount: int = 1) -> None:
        pass


NO_PROGRESS: Progress = _NoProgress()
"""Shows nothing."""
