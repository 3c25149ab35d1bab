"""What the three stages have in common."""

# ruff: noqa: ARG002 - Lightning calls hooks with names

import time
from dataclasses import dataclass
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.strategies import DeepSpeedStrategy
from torch.utils.data import Dataset

from glamm.errors import CheckpointError
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
    """A Lightning module whose batches are frozen dataclasses, which Lightning does not move by itself.

    What is random in a pass, such as dropout, follows from the pass's number, and what is not trained from the
    start: neither needs to be in a checkpoint.

    Args:
        seed: Of the run.
    """

    def __init__(self, *, seed: int = 0) -> None:
        super().__init__()
        self._seed = seed
        self.strict_loading = False  # of Lightning: for what is left out below
        self.asked_for_data = time.monotonic()

    def on_train_start(self) -> None:
        """Called after all callbacks: the next thing is to take a batch."""
        self.asked_for_data = time.monotonic()

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:  # noqa: ANN401
        """Seed the pass by its number over the whole run, differently on every device."""
        seed_pass(self._seed, number=batch_idx, rank=self.global_rank)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Leave out what stands still: at 7B with adapters that is nine tenths."""
        frozen = self._names(is_trained=False)
        checkpoint["state_dict"] = {
            name: value for name, value in checkpoint["state_dict"].items() if name not in frozen
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Make sure that everything that is trained is there; the rest stays as the start has it.

        Raises:
            CheckpointError: Something is not; another version of the program wrote the checkpoint.
        """
        found = checkpoint.get(
            "state_dict"
        )  # a strategy that shards weights has put them in already
        missing = [] if found is None else sorted(self._names(is_trained=True) - found.keys())
        if missing:
            raise CheckpointError(
                f"the checkpoint has no {missing[0]} ({len(missing)} missing): "
                "another version of the program wrote it. Delete the run's folder to start anew."
            )

    def _names(self, *, is_trained: bool) -> set[str]:
        return {
            name for name, value in self.named_parameters() if value.requires_grad == is_trained
        }

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
        if isinstance(self.trainer.strategy, DeepSpeedStrategy):
            return  # it has the norm from the trainer, and its own gradients
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


def seed_pass(seed: int, *, number: int, rank: int) -> None:
    """Seed torch's generators for one pass on one device.

    Args:
        seed: Of the run.
        number: Of the pass, over the whole run.
        rank: Of the device.
    """
    words = np.random.SeedSequence((seed, number, rank)).generate_state(1, np.uint64)
    torch.manual_seed(int(words[0]))


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
