"""AdamW with the paper's schedule."""

from typing import Any

import torch
from torch import nn

from glamm.config.training import OptimizerConfig

ENCODERS = ("global_encoder", "grounding_encoder")


def build_optimizer(
    module: nn.Module, config: OptimizerConfig, *, max_steps: int, full_rate: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Make what Lightning's `configure_optimizers` returns.

    Args:
        module: Its parameters that require gradients are trained.
        config: Rates.
        max_steps: Where the rate reaches zero.
        full_rate: Encoders that are trained at the full rate because the stage is theirs.
    """
    slow: list[nn.Parameter] = []
    fast: list[nn.Parameter] = []
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            is_slow = any(part in name.split(".") for part in ENCODERS if part not in full_rate)
            (slow if is_slow else fast).append(parameter)
    groups = [
        {"params": fast, "lr": config.learning_rate},
        {"params": slow, "lr": config.learning_rate * config.encoder_lr_scale},
    ]
    optimizer = torch.optim.AdamW(
        [group for group in groups if group["params"]],
        betas=(config.beta1, config.beta2),
        weight_decay=config.weight_decay,
        fused=True,
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: rate_factor(step, warmup_steps=config.warmup_steps, max_steps=max_steps),
    )
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def rate_factor(step: int, *, warmup_steps: int, max_steps: int) -> float:
    """Share of the learning rate at a step: up linearly, then down linearly to 0 at `max_steps`.

    Upstream: DeepSpeed's WarmupDecayLR starts at 0, so that the first step changes nothing. Here the first step has
        the first share above 0.
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    return max(0.0, (max_steps - step) / max(1, max_steps - warmup_steps))
