"""The memory that torch takes, from its own accounts."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from torch.profiler import ProfilerActivity, profile


@dataclass
class Allocations:
    """Bytes of tensors on the CPU, compared with the beginning of a block.

    Args:
        peak: The largest number at any time.
        kept: The number at the end.
    """

    peak: int = 0
    kept: int = 0


@contextmanager
def allocations() -> Iterator[Allocations]:
    """Count the memory of tensors inside the block; the result is complete after it."""
    result = Allocations()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        yield result
    everything: Any = recorded.profiler.kineto_results.events()  # pyright: ignore[reportOptionalMemberAccess]
    events = [event for event in everything if event.name() == "[memory]"]
    ordered = sorted(events, key=lambda event: event.start_ns())
    levels = list(accumulate((event.nbytes() for event in ordered), initial=0))
    result.peak, result.kept = max(levels), levels[-1]
