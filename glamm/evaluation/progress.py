"""How an evaluation reports its progress."""

from typing import Protocol, runtime_checkable


@runtime_checkable
class Progress(Protocol):
    """Shows the progress of an evaluation, for example as a bar."""

    def describe(self, activity: str) -> None:
        """Show what is being done now."""
        ...

    def begin(self, total: int) -> None:
        """Start to count images, of which there are `total`."""
        ...

    def advance(self) -> None:
        """Count one image. Calls come from one thread."""
        ...


class _NoProgress:
    def describe(self, activity: str) -> None:
        pass

    def begin(self, total: int) -> None:
        pass

    def advance(self) -> None:
        pass


NO_PROGRESS: Progress = _NoProgress()
"""Shows nothing."""
