"""A model whose parameters take no memory until tensors are put in their place."""

import torch

from glamm.config.model import ModelConfig
from glamm.models.computed_buffers import ComputedBuffers
from glamm.models.glamm.model import GLaMM


def build_without_weights(config: ModelConfig, *, device: torch.device | str = "cpu") -> GLaMM:
    """Build a model on torch's meta device; only the buffers that are not stored with weights are on `device`.

    `load_state_dict(weights, assign=True)` completes it: the model then has the tensors themselves, in their own type.

    Args:
        config: Sizes and switches.
        device: Of the buffers.
    """
    with torch.device("meta"):
        model = GLaMM.from_config(config)
    for module in model.modules():
        if isinstance(module, ComputedBuffers):
            module.compute_buffers(device)
    return model
