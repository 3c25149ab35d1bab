"""Runs functions in parallel processes, which end with this one, also when it is killed."""

import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import active_children, get_context, resource_tracker
from multiprocessing.process import BaseProcess
from signal import (
    SIG_BLOCK,
    SIG_IGN,
    SIG_SETMASK,
    SIG_UNBLOCK,
    SIGHUP,
    SIGINT,
    SIGTERM,
    pthread_sigmask,
    signal,
)
from typing import Protocol, TypeVar, runtime_checkable

from glamm.errors import HostError
from glamm.stop_request import uninterrupted
from glamm.subprocesses import GRACE_S, end_with_parent

_OF_TERMINALS = {SIGHUP, SIGINT}
_ENDED_BY_SIGTERM = 128 + SIGTERM

Item = TypeVar("Item")
Result = TypeVar("Result")


@runtime_checkable
class OrderedMap(Protocol):
    """The built-in `map` of one iterable, or one over processes."""

    def __call__(
        self, function: Callable[[Item], Result], items: Iterable[Item], /
    ) -> Iterator[Result]:
        """Apply `function` to every item and yield the results in the order of the items."""
        ...


@contextmanager
def worker_pool(
    workers: int, *, initializer: Callable[[], None] | None = None
) -> Iterator[OrderedMap]:
    """Open a `map` over processes; with one worker it runs in this process.

    A few items are under way at a time, so memory stays flat however many there are. An error in a worker is raised
    where its result is read; items not yet begun are dropped then.

    Args:
        workers: How many processes, at least 1.
        initializer: Called once in every process, not in this one; picklable.
    """
    if workers == 1:
        yield map
        return
    before = set(active_children())
    with _interrupts_blocked():
        resource_tracker.ensure_running()  # it would act on SIGHUP, but a blocked signal stays blocked in it
    pool = ProcessPoolExecutor(
        workers,
        mp_context=get_context("spawn"),
        initializer=_start_worker,
        initargs=(os.getpid(), initializer),
    )

    def ordered_map(
        function: Callable[[Item], Result], items: Iterable[Item], /
    ) -> Iterator[Result]:
        under_way: deque[Future[Result]] = deque()
        for item in items:
            with _interrupts_blocked():  # a submission may start a process, which inherits this
                under_way.append(pool.submit(_run_item, function, item))
            if len(under_way) > workers + 1:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()

    try:
        yield ordered_map
    except BrokenProcessPool as error:
        raise HostError(
            f"one of {workers} worker processes was ended from outside, perhaps because the memory was full. Run the "
            "same command again, with fewer workers."
        ) from error
    except KeyboardInterrupt:
        with uninterrupted():
            _end_workers(set(active_children()) - before)
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _end_workers(workers: "set[BaseProcess]") -> None:
    """Interrupt what they are doing; kill those that do not end."""
    for worker in workers:
        worker.terminate()
    deadline = time.monotonic() + GRACE_S
    for worker in workers:
        worker.join(max(0.0, deadline - time.monotonic()))
        worker.kill()


def _run_item(function: Callable[[Item], Result], item: Item) -> Result:
    try:
        return function(item)
    except SystemExit:  # SIGTERM; the pool would send it to the parent and go on
        os._exit(_ENDED_BY_SIGTERM)


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Hold back what a terminal sends to all its processes, for this thread and for the processes that it starts."""
    before = pthread_sigmask(SIG_BLOCK, _OF_TERMINALS)
    try:
        yield
    finally:
        pthread_sigmask(SIG_SETMASK, before)


def _start_worker(parent: int, initializer: Callable[[], None] | None) -> None:
    # the parent ends the run, by SIGTERM; workers would only add their tracebacks
    for number in _OF_TERMINALS:
        signal(number, SIG_IGN)
    signal(SIGTERM, _leave)
    pthread_sigmask(SIG_UNBLOCK, _OF_TERMINALS)
    end_with_parent(parent)
    if initializer is not None:
        initializer()


def _leave(_number: int, _frame: object) -> None:
    sys.exit(_ENDED_BY_SIGTERM)  # an exception: files that are being written are removed
