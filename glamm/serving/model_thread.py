"""One thread for the model, and a queue before it that says when it is full."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from glamm.errors import BusyError

T = TypeVar("T")


class ModelThread:
    """Runs work one after the other, off the event loop.

    Args:
        max_waiting: How much work may wait for the one that runs.
    """

    def __init__(self, *, max_waiting: int) -> None:
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="model")
        self._max_waiting = max_waiting
        self._num_open = 0
        self._lock = threading.Lock()

    async def run(self, work: Callable[[], T]) -> T:
        """Wait for a turn and do the work; whoever is cancelled while waiting costs no turn.

        Raises:
            BusyError: Too many wait already.
        """
        with self._lock:
            if self._num_open > self._max_waiting:
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
