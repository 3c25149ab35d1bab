"""What the Lightning modules of the three phases share.

Axis names: see `glamm.structures.batch`.
"""

# ruff: noqa: ARG002 - the names of the arguments are Lightning's

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, runtime_checkable

import lightning
import numpy as np
import torch
from lightning.pytorch.strategies import DeepSpeedStrategy
from torch import Tensor, nn
from torchmetrics import Metric

from glamm.config.training import TrainConfig
from glamm.errors import CheckpointError, ConfigError
from glamm.structures.batch import to_device
from glamm.training.optimizer import build_optimizer
from glamm.training.precision import hold_trained_weights_in_float32


@runtime_checkable
class CountsSamples(Protocol):
    """A batch of any phase."""

    @property
    def num_samples(self) -> int:
        """Number of conversations, or of images where a phase has no conversations."""
        ...


@dataclass(frozen=True, slots=True)
class Ratio:
    """What one batch adds to a validation metric, which is the sum of the totals over the sum of the counts.

    Args:
        total: Added to the numerator.
        count: Added to the denominator.
    """

    total: float
    count: int = 1


class RatioMetric(Metric):
    """Adds up ratios over the batches of a validation and over devices, in float64."""

    full_state_update = False
    total: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in ("total", "count"):
            self.add_state(name, torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, ratio: Ratio) -> None:
        """Add a batch."""
        self.total += ratio.total
        self.count += ratio.count

    def compute(self) -> Tensor:
        """The total divided by the count; 0 if nothing was counted."""
        return torch.where(self.count > 0, self.total / self.count, 0.0)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What the validation of a batch gives.

    Args:
        ratios: By names that are in `validation_names` of the module.
        mask_logits: For each image, its predicted masks; empty if the phase predicts none.
    """

    ratios: Mapping[str, Ratio]
    mask_logits: tuple[Tensor, ...] = field(default=())


class PhaseModule(lightning.LightningModule, ABC):
    """A Lightning module that trains one phase: losses, validation and optimizer.

    It can be trained by any `lightning.Trainer`: losses and validation metrics are logged with `self.log`, so that
    loggers and callbacks such as `ModelCheckpoint(monitor="val_loss")` find them.

    The random numbers of a pass, such as those of dropout, follow from its index, and frozen weights from the
    initialization: neither is in a checkpoint.

    Args:
        config: Seed, optimizer and number of steps.
        full_rate: Names of encoders that are trained at the full learning rate, because the phase trains nothing else.
    """

    validation_names: ClassVar[tuple[str, ...]]
    """Names of the validation metrics; a validation has those of the tasks that the val split holds."""

    def __init__(self, config: TrainConfig, *, full_rate: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.config = config
        self._full_rate = full_rate
        self.strict_loading = False  # of Lightning: checkpoints have no frozen weights
        self.validation_metrics = nn.ModuleDict(
            {name: RatioMetric() for name in self.validation_names}
        )

    @abstractmethod
    def compute_losses(self, batch: Any) -> dict[str, Tensor]:  # noqa: ANN401 - each phase has its own batch
        """The loss to minimize as `loss`, and its unweighted terms, detached."""

    @abstractmethod
    def evaluate(self, batch: Any) -> Evaluation:  # noqa: ANN401 - each phase has its own batch
        """Validate a batch, without gradients."""

    def training_step(self, batch: CountsSamples, batch_idx: int) -> dict[str, Tensor]:
        """Compute and log the losses of a batch."""
        losses = self.compute_losses(batch)
        for name, value in losses.items():
            is_total = name == "loss"
            self.log(name, value.detach(), prog_bar=is_total, batch_size=batch.num_samples)
        return losses

    def validation_step(
        self, batch: CountsSamples, batch_idx: int, dataloader_idx: int = 0
    ) -> dict[str, Any]:
        """Validate a batch and log the metrics; the masks are for callbacks that draw them."""
        evaluation = self.evaluate(batch)
        for name, ratio in evaluation.ratios.items():
            metric = self.validation_metrics[name]
            metric.update(ratio)  # pyright: ignore[reportCallIssue] - an item of a ModuleDict is any module
            self.log(
                name,
                metric,  # pyright: ignore[reportArgumentType] - likewise
                batch_size=batch.num_samples,
                add_dataloader_idx=False,
            )
        return {"mask_logits": evaluation.mask_logits}

    def configure_model(self) -> None:
        """Hold trained weights in float32, whatever type the initial weights have."""
        hold_trained_weights_in_float32(self)

    def configure_optimizers(self) -> Any:  # noqa: ANN401 - Lightning's own type is a union of ten
        """AdamW and its schedule, from the configuration."""
        return build_optimizer(
            self,
            self.config.optimizer,
            max_steps=self.config.max_steps,
            full_rate=self._full_rate,
        )

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip the norm of all gradients together, by default at `optimizer.max_grad_norm` of the configuration.

        Lightning refuses to clip for a fused optimizer in bf16-mixed, although no gradient scaler is involved there.
        """
        if isinstance(self.trainer.strategy, DeepSpeedStrategy):
            return  # it clips by itself, at the trainer's `gradient_clip_val`
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        max_norm = gradient_clip_val or self.config.optimizer.max_grad_norm
        torch.nn.utils.clip_grad_norm_(parameters, max_norm)

    def on_fit_start(self) -> None:
        """Check that the trainer takes as many passes per step as the data module plans.

        Raises:
            ConfigError: It does not.
        """
        wanted, given = self.config.accumulate_grad_batches, self.trainer.accumulate_grad_batches
        if wanted != given:
            raise ConfigError(
                f"train.accumulate_grad_batches is {wanted} and the trainer's is {given}: set both to the same number"
            )

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:  # noqa: ANN401
        """Seed the pass."""
        seed_pass(self.config.seed, index=batch_idx, rank=self.global_rank)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Leave out frozen weights: at 7B with adapters they are nine tenths of all weights."""
        frozen = self._parameter_names(requires_grad=False)
        checkpoint["state_dict"] = {
            name: value for name, value in checkpoint["state_dict"].items() if name not in frozen
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Check that the checkpoint has all trained weights; frozen ones stay as initialized.

        Raises:
            CheckpointError: A trained weight is missing.
        """
        # A strategy that shards weights has loaded them before, and passes no state dict.
        present = checkpoint.get("state_dict")
        if present is None:
            return
        missing = sorted(self._parameter_names(requires_grad=True) - present.keys())
        if missing:
            raise CheckpointError(
                f"the checkpoint has no {missing[0]} ({len(missing)} missing): another version of the program "
                "wrote it. Delete the folder of the run to start again from step 0."
            )

    def transfer_batch_to_device(
        self,
        batch: Any,  # noqa: ANN401 - each phase has its own batch
        device: torch.device,
        dataloader_idx: int,
    ) -> Any:  # noqa: ANN401
        """Copy a batch to the device; Lightning does not move frozen dataclasses."""
        return batch if device.type == "cpu" else to_device(batch, device)

    def _parameter_names(self, *, requires_grad: bool) -> set[str]:
        return {
            name
            for name, parameter in self.named_parameters()
            if parameter.requires_grad == requires_grad
        }


def seed_pass(seed: int, *, index: int, rank: int) -> None:
    """Seed torch's generators for one pass on one device.

    Args:
        seed: Seed of the run.
        index: Index of the pass, counted from 0 over the whole run.
        rank: Global rank of the device.
    """
    state = np.random.SeedSequence((seed, index, rank)).generate_state(1, np.uint64)
    torch.manual_seed(int(state[0]))
