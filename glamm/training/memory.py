"""How much memory a run needs, computed before the model is loaded."""

import logging
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch

from glamm.checkpoints.store import read_config, stored_dtype
from glamm.config.model import ModelConfig
from glamm.config.training import TrainConfig
from glamm.errors import HostError
from glamm.models.glamm import GLaMM
from glamm.training.joint import GLaMMModule
from glamm.training.precision import initial_dtype

logger = logging.getLogger(__name__)

_FLOAT32_BYTES = torch.float32.itemsize
_ADAM_BYTES = 2 * _FLOAT32_BYTES
"""Two running means per parameter."""


@dataclass(frozen=True, slots=True)
class MemoryNeed:
    """The memory that a run needs whatever its batches are; activations come on top.

    Args:
        num_parameters: Of the model, adapters included.
        num_trained: Those of them that are trained.
        dtype: Type of frozen weights.
    """

    num_parameters: int
    num_trained: int
    dtype: torch.dtype

    @property
    def weights(self) -> int:
        """Bytes of all weights."""
        frozen = self.num_parameters - self.num_trained
        return frozen * self.dtype.itemsize + self.num_trained * _FLOAT32_BYTES

    @property
    def gradients(self) -> int:
        """Bytes of the gradients."""
        return self.num_trained * _FLOAT32_BYTES

    @property
    def optimizer_states(self) -> int:
        """Bytes of AdamW's running means."""
        return self.num_trained * _ADAM_BYTES

    @property
    def total(self) -> int:
        """Bytes of all of it."""
        return self.weights + self.gradients + self.optimizer_states

    def __str__(self) -> str:
        """One line with the parts."""
        return (
            f"{_gib(self.total)}: {_gib(self.weights)} of weights ({self.num_parameters / 1e6:,.0f} M parameters, "
            f"{self.num_trained / 1e6:,.0f} M of them trained), {_gib(self.gradients)} of gradients, "
            f"{_gib(self.optimizer_states)} of optimizer states; activations come on top"
        )


def estimate_memory(
    model_config: ModelConfig, config: TrainConfig, *, stored: torch.dtype
) -> MemoryNeed:
    """Count the parameters of a run of the phase joint, without memory for them.

    Args:
        model_config: Sizes of the initial model.
        config: Decides what is trained.
        stored: Type of the stored weights.
    """
    with torch.device("meta"):
        module = GLaMMModule(GLaMM.from_config(model_config), config=config)
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in module.parameters()]
    return MemoryNeed(
        num_parameters=sum(size for size, _ in sizes),
        num_trained=sum(size for size, is_trained in sizes if is_trained),
        dtype=initial_dtype(stored, config.precision),
    )


def check_memory(folder: Path, config: TrainConfig) -> None:
    """State how much memory a run of the phase joint needs on each device, and check that it is there.

    Strategies that shard the weights need less on each device: for them, the need is only stated.

    Args:
        folder: The initial model.
        config: Decides what is trained, and how many processes share the machine.

    Raises:
        CheckpointError: The model folder is damaged.
        HostError: The machine has too little memory.
    """
    need = estimate_memory(read_config(folder).model, config, stored=stored_dtype(folder))
    logger.info("memory of each process, %s", need)
    if config.strategy not in ("auto", "ddp"):
        return
    if torch.cuda.is_available():
        available, owner = torch.cuda.get_device_properties(0).total_memory, "the GPU"
        needed = need.total
    else:
        available, owner = psutil.virtual_memory().available, "the machine"
        needed = need.total * config.devices
    if needed > available:
        raise HostError(
            f"{folder}: training needs {_gib(needed)} of memory before any activation, and {owner} has "
            f"{_gib(available)} available. Train fewer parameters (train.trainable, train.lora, "
            "train.optimizer.encoder_lr_scale=0), use train.devices=1, or shard the weights over GPUs "
            "(train.strategy=fsdp2)."
        )


def _gib(num_bytes: int) -> str:
    return f"{num_bytes / 2**30:.1f} GiB"
