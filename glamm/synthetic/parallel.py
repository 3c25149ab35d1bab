"""Work in this process or in several, with results in order."""

import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Protocol, TypeVar, runtime_checkable

import cv2

Item = TypeVar("Item")
Result = TypeVar("Result")


@runtime_checkable
class Runner(Protocol):
    """The built-in map, or a pool's."""

    def __call__(
        self, work: Callable[[Item], Result], items: Iterable[Item], /
    ) -> Iterator[Result]:
        """Apply `work` to every item and yield the results in the order of the items."""
        ...


@contextmanager
def runner(workers: int) -> Iterator[Runner]:
    """Open a map over this many processes; one works here.

    An error in a worker is raised where its result is read; what was not begun by then is dropped.
    """
    if workers == 1:
        yield map
        return
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_start)
    try:
        yield pool.map
    finally:
        pool.shutdown(cancel_futures=True)


def _start() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends the run; children only add noise
    cv2.setNumThreads(1)
