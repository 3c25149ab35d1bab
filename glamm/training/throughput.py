"""How fast a run trains: samples, tokens and operations per second, and how long it waits for data."""

import resource
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from glamm.models.glamm import GLaMM
from glamm.structures.batch import Batch
from glamm.training.flops import ShapeRecorder, peak_flops, training_factors, training_flops


class ThroughputMeter:
    """Measures the time and the work of passes.

    Call `request_batch`, `begin_pass` and `end_pass` in turn. The time from `request_batch` to `begin_pass` is spent
    waiting for data, the time to `end_pass` is spent computing; what happens until the next `request_batch`, such as
    validation and checkpoints, does not count.

    Args:
        model: The model that is trained; None if its operations are not counted.
        world_size: Number of devices. All are assumed to do as much as this one.
        clock: Gives the time in seconds, from any start.
    """

    def __init__(
        self,
        model: GLaMM | None,
        *,
        world_size: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._model, self._world_size, self._clock = model, world_size, clock
        self._shapes = ShapeRecorder(model) if model else None
        self._factors = training_factors(model) if model else {}
        self._last = self._clock()
        self._reset()

    def _reset(self) -> None:
        self._waited = self._computed = 0.0
        self._samples = self._positions = self._flops = 0
        self._tokens: Tensor | int = (
            0  # a tensor on the device: reading it would wait for the device
        )

    def request_batch(self) -> None:
        """From now on, the model waits for data."""
        self._last = self._clock()

    def begin_pass(self) -> None:
        """The batch has arrived."""
        self._waited += self._lap()
        if self._shapes:
            self._shapes.reset()

    def end_pass(self, batch: Any) -> None:  # noqa: ANN401 - each phase has its own batch
        """The batch has been processed."""
        self._computed += self._lap()
        self._samples += batch.num_samples * self._world_size
        if isinstance(batch, Batch):
            self._tokens = self._tokens + batch.attention_mask.sum() * self._world_size
            self._positions += batch.input_ids.numel() * self._world_size
        if self._model and self._shapes:
            self._flops += training_flops(self._model.config, self._shapes.shape, self._factors)

    def take(self) -> dict[str, float]:
        """Rates since the last call, by name.

        `data_wait_share` is the share of the time spent waiting for data. `tokens_per_second` counts text tokens, an
        image as one; `padding_share` is the share of padding among them. `teraflops_per_second` is what the model
        needs (`glamm.training.flops`) on one device, `mfu` the same as a share of what the device can do.
        """
        elapsed = max(1e-9, self._waited + self._computed)
        rates = {
            "samples_per_second": self._samples / elapsed,
            "data_wait_share": self._waited / elapsed,
        }
        tokens = int(self._tokens)
        if tokens:
            rates["tokens_per_second"] = tokens / elapsed
            rates["padding_share"] = 1 - tokens / self._positions
        if self._flops:
            rates |= _utilization(self._flops / elapsed)
        self._reset()
        return rates

    def _lap(self) -> float:
        now = self._clock()
        last, self._last = self._last, now
        return now - last


def peak_memory_mib() -> int:
    """The most memory that this process has had at once: on the GPU if there is one, else in RAM."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() >> 20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10  # KiB on Linux


def _utilization(flops_per_second: float) -> dict[str, float]:
    rates = {"teraflops_per_second": flops_per_second / 1e12}
    peak = peak_flops(torch.cuda.get_device_name()) if torch.cuda.is_available() else None
    return rates | ({"mfu": flops_per_second / peak} if peak else {})
