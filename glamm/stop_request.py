"""Ending a command on SIGTERM or SIGHUP, as machines and closed terminals send them, or SIGINT (Ctrl-C).

The end is an exception in the main thread, so that every block that is left ends what it started and removes what it
was writing. Imports nothing heavy, so that it can listen before torch is loaded.
"""

import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

from glamm.errors import RunInterrupted

logger = logging.getLogger(__name__)

SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """Remembers a signal while steps are running; before and after, a signal ends the run at once.

    As a context manager it installs its signal handlers and restores the former ones. A signal that was ignored stays
    ignored, as for `nohup` and for background jobs of a shell. While the run ends, further signals have no effect.

    Args:
        outcome: If a signal ends the block at once: what was saved, and how to continue.
    """

    def __init__(
        self, *, outcome: str = "nothing new was saved; run the same command to start again"
    ) -> None:
        self._outcome = outcome
        self.received: signal.Signals | None = None
        self.is_stepping = False
        self._is_ending = False
        self._previous: dict[signal.Signals, Any] = {}
        self._previous_hook: Any = None

    def __enter__(self) -> "StopRequest":
        """Install the handlers."""
        self._previous_hook, sys.unraisablehook = sys.unraisablehook, self._raise_again
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
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
        sys.unraisablehook = self._previous_hook
        # native code that is interrupted can raise another error than KeyboardInterrupt
        if self._is_ending and error and not isinstance(error, RunInterrupted):
            raise self.interruption(self._outcome) from error

    def interruption(self, outcome: str) -> RunInterrupted:
        """The error that ends the run, with the exit code that shells expect for the signal.

        Args:
            outcome: What was saved, and how to continue.
        """
        received = self.received or signal.SIGTERM
        error = RunInterrupted(f"{received.name}: {outcome}")
        error.exit_code = 128 + received
        return error

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        if self._is_ending:
            return
        is_first = self.received is None
        self.received = signal.Signals(number)
        if not (self.is_stepping and is_first):
            self._is_ending = True
            _interrupt()
            return
        logger.warning(
            "%s: ending after this step, with a checkpoint; a second signal ends at once",
            self.received.name,
        )

    def _raise_again(self, unraisable: "sys.UnraisableHookArgs") -> None:
        """Interrupt once more if the interruption hit a destructor or a callback: those swallow it."""
        if not (self._is_ending and unraisable.exc_type is KeyboardInterrupt):
            self._previous_hook(unraisable)
            return
        self._is_ending = False
        number = self.received or signal.SIGTERM
        threading.Timer(0.01, os.kill, (os.getpid(), number)).start()


class _Held:
    """How many blocks hold the interruption back, and whether one waits for their end."""

    depth = 0
    is_due = False


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Let a signal end the run only after this block, such as one that starts a process or removes a folder.

    Blocks of other threads are never interrupted: Python delivers signals to the main thread.

    Raises:
        KeyboardInterrupt: At the end of the block, if a signal came.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _Held.depth += 1
    try:
        yield
    finally:
        _Held.depth -= 1
        if _Held.depth == 0 and _Held.is_due:
            _interrupt()


def _interrupt() -> None:
    _Held.is_due = _Held.depth > 0
    if not _Held.is_due:
        raise KeyboardInterrupt  # libraries do not swallow it as they do other errors
