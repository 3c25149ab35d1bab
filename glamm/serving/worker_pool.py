"""Threads that wait for answers, and a queue before them that says when it is full."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from glamm.errors import BusyError

T = TypeVar("T")


class AnsweringThreads:
    """Runs work off the event loop. The engine answers together what waits at the same time.

    Args:
        max_running: How much work runs at once.
        max_waiting: How much more may wait.
    """

    def __init__(self, *, max_running: int, max_waiting: int) -> None:
        self._executor = ThreadPoolExecutor(max_running, thread_name_prefix="answer")
        self._max_running, self._max_waiting = max_running, max_waiting
        self._num_open = 0
        self._lock = threading.Lock()

    async def run(self, work: Callable[[], T]) -> T:
        """Wait for a turn and do the work; whoever is cancelled while waiting costs no turn.

        Raises:
            BusyError: Too many wait already.
        """
        with self._lock:
            if self._num_open >= self._max_running + self._max_waiting:
                raise BusyError(
                    f"{self._max_waiting} questions are waiting already: try again in a few seconds"
                )
            self._num_open += 1
        future = self._executor.submit(work)
        future.add_done_callback(self._close)
        return await asyncio.wrap_future(future)

    def shutdown(self) -> None:
        """Finish what runs, drop what waits."""
        self._executor.shutdown(wait=True, cancel_futures=True)

    def _close(self, future: Future[T]) -> None:
        del future
        with self._lock:
            self._num_open -= 1
