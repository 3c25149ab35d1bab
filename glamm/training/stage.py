"""What the three stages have in common."""

# ruff: noqa: ARG002 - Lightning calls hooks with names

import time
from dataclasses import dataclass
from typing import Any

import lightning
import torch
from torch.utils.data import Dataset

from glamm.structures.batch import to_device


@dataclass(frozen=True, slots=True)
class Ratio:
    """A number of validation that adds up over batches: both parts are summed before they are divided.

    Args:
        total: Above the line.
        count: Below it.
    """

    total: float
    count: int = 1

    def __add__(self, other: "Ratio") -> "Ratio":
        """Of both batches together."""
        return Ratio(self.total + other.total, self.count + other.count)

    @property
    def value(self) -> float:
        """Of everything that was added; 0 where there was nothing to count."""
        return self.total / self.count if self.count else 0.0


class StageModule(lightning.LightningModule):
    """A Lightning module whose batches are frozen dataclasses, which Lightning does not move by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.asked_for_data = time.monotonic()

    def on_train_start(self) -> None:
        """Called after all callbacks: the next thing is to take a batch."""
        self.asked_for_data = time.monotonic()

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:  # noqa: ANN401
        """Called after all callbacks: the next thing is to take a batch."""
        self.asked_for_data = time.monotonic()

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip here: Lightning refuses to with a fused optimiser in bf16, where no scaler stands in the way."""
        trained = [one for group in optimizer.param_groups for one in group["params"]]
        torch.nn.utils.clip_grad_norm_(trained, gradient_clip_val or float("inf"))

    def transfer_batch_to_device(
        self,
        batch: Any,  # noqa: ANN401 - each stage has its own batch
        device: torch.device,
        dataloader_idx: int,
    ) -> Any:  # noqa: ANN401
        """Copy a batch to the device."""
        return batch if device.type == "cpu" else to_device(batch, device)


class FirstBatches(Dataset[Any]):
    """The first batches of a validation set.

    Args:
        batches: By number.
        num_batches: How many, where there are so many.
    """

    def __init__(self, batches: Any, num_batches: int) -> None:  # noqa: ANN401 - each stage has its own batch
        self._batches, self._num_batches = batches, num_batches

    def __len__(self) -> int:
        """Number of batches."""
        return self._num_batches

    def __getitem__(self, number: int) -> Any:  # noqa: ANN401
        """The batch of this number."""
        if number >= self._num_batches:
            raise IndexError(number)
        return self._batches[number]
