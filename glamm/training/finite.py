"""Ends a run whose losses or weights are no longer finite, before it replaces its last good checkpoints."""

import logging
import math
from collections.abc import Iterable, Mapping

import lightning
import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from glamm.errors import ConfigError

logger = logging.getLogger(__name__)

_REMEDY = (
    "Lower train.optimizer.learning_rate, give more train.optimizer.warmup_steps, or look for extreme values in the "
    "initial weights; changed values start a new run."
)


def check_losses(losses: Mapping[str, float], *, step: int) -> None:
    """Check the losses of a step.

    Raises:
        ConfigError: One of them is infinite or not a number; every later step would be wasted.
    """
    for name, value in losses.items():
        if not math.isfinite(value):
            raise ConfigError(f"{name} is {value} after step {step}: training diverged. {_REMEDY}")


def check_weights(
    weights: Iterable[tuple[str, Tensor]], *, step: int, trainer: lightning.Trainer
) -> None:
    """Check the trained weights of all processes; every process calls it.

    Args:
        weights: Names and values; sharded ones are checked where they are.
        step: For the message.
        trainer: Tells every process what the others found.

    Raises:
        ConfigError: A value is infinite or not a number, so that a checkpoint would be of no use.
    """
    damaged = [name for name, weight in weights if not bool(_local(weight).isfinite().all())]
    num_damaged = float(len(damaged))
    if trainer.world_size > 1:
        count = torch.tensor(num_damaged, device=trainer.strategy.root_device)
        num_damaged = float(trainer.strategy.reduce(count, reduce_op="sum"))
    if num_damaged:
        name = f"{damaged[0]} holds" if damaged else "another process has"
        raise ConfigError(
            f"{name} values that are not finite after step {step}: training diverged. {_REMEDY}"
        )


def finite_metrics(metrics: Mapping[str, float]) -> dict[str, float]:
    """The metrics that are numbers, for files that hold no others; a warning names the rest.

    One sample of the val split may give a value that is not finite although the weights are.
    """
    left_out = [name for name, value in metrics.items() if not math.isfinite(value)]
    if left_out:
        logger.warning("not finite, so left out of the lineage: %s", ", ".join(left_out))
    return {name: value for name, value in metrics.items() if name not in left_out}


def _local(weight: Tensor) -> Tensor:
    """The part of a weight that this process holds."""
    return weight.to_local() if isinstance(weight, DTensor) else weight
