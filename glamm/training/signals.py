"""Ending a run on SIGTERM, as machines send it, or SIGINT (Ctrl-C).

Imports nothing heavy, so that it can listen before torch is loaded.
"""

import logging
import signal
from types import FrameType, TracebackType
from typing import Any

from glamm.errors import RunInterrupted

logger = logging.getLogger(__name__)

_EXIT_CODES = {signal.SIGTERM: 143, signal.SIGINT: 130}


class StopRequest:
    """Remembers a signal while steps are running; before and after, a signal ends the run at once.

    As a context manager it installs its signal handlers and restores the former ones.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self.is_stepping = False
        self._is_ending = False
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "StopRequest":
        """Install the handlers."""
        for number in _EXIT_CODES:
            self._previous[number] = signal.signal(number, self._receive)
        return self

    def take_over_signals(self) -> None:
        """Install the handlers again, in case a library has replaced them."""
        for number in self._previous:
            signal.signal(number, self._receive)

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        """Restore the former handlers.

        Raises:
            RunInterrupted: A signal ended the block at once.
        """
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        # native code that is interrupted can raise another error than KeyboardInterrupt
        if self._is_ending and error and not isinstance(error, RunInterrupted):
            raise self.interruption(
                "nothing new was saved; run the same command to start again"
            ) from error

    def interruption(self, outcome: str) -> RunInterrupted:
        """The error that ends the run, with the exit code that shells expect for the signal.

        Args:
            outcome: What was saved, and how to continue.
        """
        received = self.received or signal.SIGTERM
        error = RunInterrupted(f"{received.name}: {outcome}")
        error.exit_code = _EXIT_CODES.get(received, 1)
        return error

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        is_first = self.received is None
        self.received = signal.Signals(number)
        if not (self.is_stepping and is_first):
            self._is_ending = True
            raise KeyboardInterrupt  # libraries do not swallow it as they do other errors
        logger.warning(
            "%s: ending after this step, with a checkpoint; a second signal ends at once",
            self.received.name,
        )
