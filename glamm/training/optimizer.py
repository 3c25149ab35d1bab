"""AdamW with the paper's schedule."""

from typing import Any

import torch
from torch import nn

from glamm.config.training import OptimizerConfig

ENCODERS = ("global_encoder", "grounding_encoder")


def build_optimizer(
    module: nn.Module, config: OptimizerConfig, *, max_steps: int, full_rate: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Build the optimizer and its schedule, as Lightning's `configure_optimizers` returns them.

    Args:
        module: Its parameters that require gradients are trained.
        config: Learning rates and the other settings of AdamW.
        max_steps: Step at which the learning rate reaches zero.
        full_rate: Names of encoders to which `encoder_lr_scale` does not apply.
    """
    scaled_encoders = [name for name in ENCODERS if name not in full_rate]
    encoder_parameters: list[nn.Parameter] = []
    other_parameters: list[nn.Parameter] = []
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            is_scaled = any(encoder in name.split(".") for encoder in scaled_encoders)
            (encoder_parameters if is_scaled else other_parameters).append(parameter)
    groups = [
        {"params": other_parameters, "lr": config.learning_rate},
        {"params": encoder_parameters, "lr": config.learning_rate * config.encoder_lr_scale},
    ]
    optimizer = torch.optim.AdamW(
        [group for group in groups if group["params"]],
        betas=(config.beta1, config.beta2),
        weight_decay=config.weight_decay,
        fused=True,
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: lr_factor(step, warmup_steps=config.warmup_steps, max_steps=max_steps),
    )
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def lr_factor(step: int, *, warmup_steps: int, max_steps: int) -> float:
    """Factor of the learning rate at a step, 0 to 1: linearly up in the warm-up, then linearly down to 0 at `max_steps`.

    Upstream: DeepSpeed's WarmupDecayLR starts at 0, so that the first step changes nothing. Here it starts at
        1 / `warmup_steps`.
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    return max(0.0, (max_steps - step) / max(1, max_steps - warmup_steps))
