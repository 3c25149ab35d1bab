"""Threads that answer requests, with a queue of limited length."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from glamm.errors import BusyError

T = TypeVar("T")


class WorkerPool:
    """Runs functions in threads, beside the event loop. The engine batches the requests of threads that wait.

    Args:
        max_running: Number of threads.
        max_waiting: Number of calls that may wait for a thread.
    """

    def __init__(self, *, max_running: int, max_waiting: int) -> None:
        self._executor = ThreadPoolExecutor(max_running, thread_name_prefix="answer")
        self._max_running, self._max_waiting = max_running, max_waiting
        self._num_open = 0
        self._lock = threading.Lock()

    async def run(self, function: Callable[[], T]) -> T:
        """Call a function in a thread; a call that is canceled while it waits never runs.

        Raises:
            BusyError: The queue is full.
        """
        with self._lock:
            if self._num_open >= self._max_running + self._max_waiting:
                raise BusyError(
                    f"{self._max_waiting} questions are waiting already: try again in a few seconds"
                )
            self._num_open += 1
        future = self._executor.submit(function)
        future.add_done_callback(self._close)
        return await asyncio.wrap_future(future)

    def shutdown(self) -> None:
        """Wait for the running calls and cancel the waiting ones."""
        self._executor.shutdown(wait=True, cancel_futures=True)

    def _close(self, future: Future[T]) -> None:
        del future
        with self._lock:
            self._num_open -= 1
