"""How memory comes from the system while a model runs on a CPU."""

import ctypes
import os
import platform

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # glibc's names of its settings, from malloc.h
_KEPT_BYTES = (1 << 31) - 1  # the setting is an int


def tune_allocator() -> None:
    """Have the C library keep up to 2 GiB of what tensors free for the next ones, and fetch memory in huge pages.

    By itself glibc gives every buffer of more than 32 MiB back to the system at once and fetches the same again, page
    by page and filled with zeros, for the next operation: a third of the time of the grounding encoder and of the
    mask decoder. For processes that run a model and little else, before torch has made its first tensor. Keeping does
    nothing elsewhere than on glibc, huge pages nothing elsewhere than on Linux.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # torch reads it once
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_MMAP_MAX, 0)
        libc.mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)


def give_back_freed_memory() -> None:
    """Have the C library give what is free back to the system; does nothing elsewhere than on glibc."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
