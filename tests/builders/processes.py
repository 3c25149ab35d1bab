"""Processes that tests start and that must end."""

import time

import psutil


def is_running(pid: int) -> bool:
    """Whether a process runs; one that has ended keeps its id until its parent has collected it."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_until(is_true, *, seconds=30):
    """Wait for a condition; fail when it takes too long."""
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def children_of(process):
    """Process ids of all that a process has started."""
    return {child.pid for child in psutil.Process(process.pid).children(recursive=True)}
