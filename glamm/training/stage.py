"""What the three stages have in common."""

from typing import Any

import lightning
import torch
from torch.utils.data import Dataset

from glamm.structures.batch import to_device


class StageModule(lightning.LightningModule):
    """A Lightning module whose batches are frozen dataclasses, which Lightning does not move by itself."""

    def transfer_batch_to_device(
        self, batch: Any, device: torch.device, dataloader_idx: int
    ) -> Any:  # noqa: ANN401, ARG002
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
