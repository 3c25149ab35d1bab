"""Settings of the C library's memory allocator for running a model on a CPU."""

import ctypes
import os
import platform

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # M_TRIM_THRESHOLD and M_MMAP_MAX of glibc's malloc.h
_KEPT_BYTES = (1 << 31) - 1  # the setting is an int


def tune_allocator() -> None:
    """Let the C library keep up to 2 GiB of freed memory for new tensors, and use huge pages.

    By default glibc returns every freed buffer of more than 32 MiB to the system, and requests it again, page by page and
    filled with zeros, for the next operation. That takes a third of the time of the grounding encoder and of the mask
    decoder. Call this before torch creates its first tensor, in processes that do little else than run a model.
    It has no effect without glibc, and huge pages are used on Linux only.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # torch reads this once
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_MMAP_MAX, 0)
        libc.mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)


def release_freed_memory() -> None:
    """Return free memory of the C library to the system; no effect without glibc."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
