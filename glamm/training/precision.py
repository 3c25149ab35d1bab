"""The types in which weights are held during training.

Weights that are trained are float32, because small updates would be rounded away in 16 bits. Frozen weights stay as they
are stored, so that a 7B model that is stored in 16 bits needs 16 GB and not 32.
"""

import torch
from torch import nn

from glamm.config.training import PrecisionName


def initial_dtype(stored: torch.dtype, precision: PrecisionName) -> torch.dtype:
    """The type in which the initial weights are loaded.

    Args:
        stored: Type of the stored weights.
        precision: "32-true" computes with float32 weights only. "bf16-mixed" casts weights to bfloat16 where they are
            used, so it can hold 16-bit weights as bfloat16 without another effect.
    """
    if precision == "32-true" or stored == torch.float32:
        return torch.float32
    return torch.bfloat16


def hold_trained_weights_in_float32(module: nn.Module) -> None:
    """Convert the parameters that are trained, in place; frozen ones keep their type."""
    for parameter in module.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
