"""Stage `joint`: the whole model learns to talk, to point and to segment."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import torch
from torch import Tensor

from glamm.config.training import TrainConfig
from glamm.errors import ConfigError
from glamm.models.glamm import GLaMM
from glamm.models.language.lora import add_lora, is_adapter, name_without_adapter
from glamm.structures.batch import Batch
from glamm.training.base_module import Ratio, StageModule
from glamm.training.frozen_encoder_cache import cache_frozen_encoders
from glamm.training.optimizer import ENCODERS, build_optimizer
from glamm.training.strategy import is_sharded, join_unused_parts, shard


class JointModule(StageModule):
    """The model and how it is trained.

    Args:
        model: Gets adapters where the configuration has some.
        config: What is trained, at which rates.

    Raises:
        ConfigError: A pattern of `trainable` matches no parameter, or encoders that are trained should be kept.
    """

    def __init__(self, model: GLaMM, *, config: TrainConfig) -> None:
        super().__init__(seed=config.seed)
        self.model = model
        self.config = config
        if config.lora:
            add_lora(model.language_model, **config.lora.model_dump())
        if config.trainable is not None:
            train_only(model, config.trainable)
        if config.optimizer.encoder_lr_scale == 0:
            for name in ENCODERS:
                model.get_submodule(name).requires_grad_(requires_grad=False)
        if config.encoder_cache_mebibytes:
            cache_frozen_encoders(model, max_bytes=config.encoder_cache_mebibytes << 20)
        if config.activation_checkpointing:
            model.language_model.activation_checkpointing_enable({"use_reentrant": False})

    def configure_model(self) -> None:
        """Shard the weights where the strategy wants it."""
        mesh = self.device_mesh
        if mesh is not None and not is_sharded(self.model):
            shard(self.model, mesh["data_parallel"])

    def training_step(self, batch: Batch, _index: int) -> dict[str, Tensor]:
        """Loss of a batch."""
        output = self.model(batch)
        loss = output.loss
        if is_sharded(self.model):
            loss = join_unused_parts(self.model, loss, batch)
        return {
            "loss": loss,
            "ce_loss": output.ce_loss.detach(),
            "bce_loss": output.bce_loss.detach(),
            "dice_loss": output.dice_loss.detach(),
        }

    def validation_step(self, batch: Batch, _index: int) -> dict[str, Ratio]:
        """Losses and mask quality with the answer given: gIoU is a mean over masks, cIoU one ratio of all pixels."""
        output = self.model(batch)
        intersections, unions = mask_overlaps(output.mask_logits, batch.masks)
        ratios = np.where(unions > 0, intersections / np.maximum(unions, 1), 1.0)
        return {
            "val_loss": Ratio(float(output.loss)),
            "val_ce_loss": Ratio(float(output.ce_loss)),
            "val_giou": Ratio(float(ratios.sum()), len(ratios)),
            "val_ciou": Ratio(float(intersections.sum()), int(unions.sum())),
        }

    def configure_optimizers(self) -> Any:  # noqa: ANN401 - Lightning's own type is a union of ten
        """AdamW, the encoders at their own rate."""
        return build_optimizer(self, self.config.optimizer, max_steps=self.config.max_steps)


def train_only(model: GLaMM, patterns: Sequence[str]) -> None:
    """Let only adapters and the parameters that a pattern matches require gradients, in place.

    Args:
        model: With or without adapters; patterns do not see them.
        patterns: As a shell knows them, for whole names such as `language_model.lm_head.weight`.

    Raises:
        ConfigError: A pattern matches nothing, as a misspelt one does.
    """
    names = {name: name_without_adapter(name) for name, _ in model.named_parameters()}
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names.values()):
            raise ConfigError(
                f"train.trainable: {pattern} matches no parameter; names begin with "
                f"{', '.join(dict(model.named_children()))}"
            )
    for name, parameter in model.named_parameters():
        is_named = any(fnmatchcase(names[name], pattern) for pattern in patterns)
        parameter.requires_grad_(is_adapter(name) or is_named)


def mask_overlaps(
    mask_logits: tuple[Tensor, ...], masks: tuple[Tensor, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Pixels in both and pixels in either, for every pair of a predicted and a true mask."""
    pairs = [
        (int((found & true).sum()), int((found | true).sum()))
        for logits, truth in zip(mask_logits, masks, strict=True)
        for found, true in zip(torch.gt(logits, 0), truth, strict=True)
    ]
    table = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return table[:, 0], table[:, 1]
