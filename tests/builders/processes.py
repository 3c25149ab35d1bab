"""Processes that tests start and that must end."""

import psutil


def is_running(pid: int) -> bool:
    """Whether a process runs; one that has ended keeps its id until its parent has collected it."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
