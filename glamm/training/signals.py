"""How a run learns that it should end: SIGTERM from a machine, SIGINT from a person.

Loads nothing heavy, so that it can listen from the first moment on.
"""

import logging
import signal
from types import FrameType, TracebackType
from typing import Any

from glamm.errors import RunInterrupted

logger = logging.getLogger(__name__)

_EXIT_CODES = {signal.SIGTERM: 143, signal.SIGINT: 130}


class StopRequest:
    """Remembers the signal while steps are running, and ends the run at once before and after.

    As a context it takes the signals over and gives them back.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self.is_stepping = False
        self._ends_at_once = False
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "StopRequest":
        """Listen."""
        for number in _EXIT_CODES:
            self._previous[number] = signal.signal(number, self._receive)
        return self

    def listen_alone(self) -> None:
        """Take the signals back from a library that put a handler of its own before this one."""
        for number in self._previous:
            signal.signal(number, self._receive)

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        """Stop listening.

        Raises:
            RunInterrupted: A signal ended what was inside, outside the steps.
        """
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        # native code that was running makes another error of the KeyboardInterrupt
        if self._ends_at_once and error and not isinstance(error, RunInterrupted):
            raise self.interruption(
                "nothing new was saved; the same command starts again"
            ) from error

    def interruption(self, outcome: str) -> RunInterrupted:
        """The error that ends the run, with the exit code that shells expect of the signal."""
        received = self.received or signal.SIGTERM
        error = RunInterrupted(f"{received.name}: {outcome}")
        error.exit_code = _EXIT_CODES.get(received, 1)
        return error

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        is_first = self.received is None
        self.received = signal.Signals(number)
        if not (self.is_stepping and is_first):
            self._ends_at_once = True
            raise KeyboardInterrupt  # which no library takes for an error that it may swallow
        logger.warning(
            "%s: finishing this step and saving; once more ends at once", self.received.name
        )
