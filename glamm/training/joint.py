"""Phase `joint`: the whole model learns to answer, to read regions and to predict masks."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float, Int
from torch import Tensor

from glamm.config.training import TrainConfig
from glamm.data.task_groups import GROUP_OF_TASK, GROUPS_WITH_MASKS
from glamm.errors import ConfigError
from glamm.models.glamm import GLaMM
from glamm.models.language.lora import add_lora, is_adapter, name_without_adapter
from glamm.structures.batch import Batch
from glamm.structures.sample import Task
from glamm.training.base_module import Evaluation, PhaseModule, Ratio
from glamm.training.frozen_encoder_cache import cache_frozen_encoders
from glamm.training.optimizer import ENCODERS
from glamm.training.strategy import is_sharded, shard, touch_unused_parameters


def metric_names(task: Task) -> tuple[str, ...]:
    """Names of the validation metrics of a task: both losses, and gIoU and cIoU where it has masks.

    `val_loss`, `val_ce_loss`, `val_giou` and `val_ciou` belong to grounded conversations; other tasks put their name
    after `val`, as in `val_semseg_giou`.
    """
    prefix = "val" if task is Task.GROUNDED_CONVERSATION else f"val_{task.value}"
    has_masks = GROUP_OF_TASK[task] in GROUPS_WITH_MASKS
    kinds = ("loss", "ce_loss", "giou", "ciou") if has_masks else ("loss", "ce_loss")
    return tuple(f"{prefix}_{kind}" for kind in kinds)


class GLaMMModule(PhaseModule):
    """Trains a whole GLaMM.

    Args:
        model: Changed in place: gets adapters, and frozen parameters, as the configuration says.
        config: What is trained, and how.

    Raises:
        ConfigError: A pattern of `trainable` matches no parameter, or outputs of trained encoders should be cached.
    """

    validation_names: ClassVar[tuple[str, ...]] = tuple(
        name for task in Task for name in metric_names(task)
    )

    def __init__(self, model: GLaMM, *, config: TrainConfig) -> None:
        super().__init__(config)
        self.model = model
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
        """Hold trained weights in float32; shard all weights if the strategy shards."""
        super().configure_model()
        mesh = self.device_mesh
        if mesh is not None and not is_sharded(self.model):
            shard(self.model, mesh["data_parallel"])

    def compute_losses(self, batch: Batch) -> dict[str, Tensor]:
        """The weighted loss, and its terms without their weights."""
        output = self.model(batch)
        loss = output.loss
        if is_sharded(self.model):
            loss = touch_unused_parameters(self.model, loss, batch)
        return {
            "loss": loss,
            "ce_loss": output.ce_loss.detach(),
            "bce_loss": output.bce_loss.detach(),
            "dice_loss": output.dice_loss.detach(),
        }

    def evaluate(self, batch: Batch) -> Evaluation:
        """Losses, and mask quality when the correct answer is given, under the `metric_names` of the batch's task.

        The gIoU is the mean IoU over masks, the cIoU the ratio of all intersections to all unions. Two empty masks have
        an IoU of 1.
        """
        output = self.model(batch)
        intersections, unions = mask_overlaps(output.mask_logits, batch.masks)
        ious = np.where(unions > 0, intersections / np.maximum(unions, 1), 1.0)
        ratios = (
            Ratio(float(output.loss)),
            Ratio(float(output.ce_loss)),
            Ratio(float(ious.sum()), len(ious)),
            Ratio(float(intersections.sum()), int(unions.sum())),
        )
        names = metric_names(batch.task or Task.GROUNDED_CONVERSATION)
        return Evaluation(dict(zip(names, ratios, strict=False)), output.mask_logits)


def train_only(model: GLaMM, patterns: Sequence[str]) -> None:
    """Freeze all parameters but adapters and those that a pattern matches, in place.

    Args:
        model: Its parameters' names are matched as if it had no adapters.
        patterns: Shell patterns for whole names, such as `language_model.lm_head.*`.

    Raises:
        ConfigError: A pattern matches no parameter.
    """
    names = {name: name_without_adapter(name) for name, _ in model.named_parameters()}
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names.values()):
            raise ConfigError(
                f"train.trainable: {pattern} matches no parameter; names begin with "
                f"{', '.join(dict(model.named_children()))}"
            )
    for name, parameter in model.named_parameters():
        is_matched = any(fnmatchcase(names[name], pattern) for pattern in patterns)
        parameter.requires_grad_(is_adapter(name) or is_matched)


def mask_overlaps(
    mask_logits: tuple[Float[Tensor, "_ _ _"], ...], masks: tuple[Bool[Tensor, "_ _ _"], ...]
) -> tuple[Int[np.ndarray, " masks"], Int[np.ndarray, " masks"]]:
    """Number of pixels in the intersection and in the union, for every pair of a predicted and a target mask.

    Args:
        mask_logits: For each image, before the sigmoid.
        masks: For each image, as many of the same size.
    """
    pairs = [
        (int((predicted & target).sum()), int((predicted | target).sum()))
        for logits, targets in zip(mask_logits, masks, strict=True)
        for predicted, target in zip(logits > 0, targets, strict=True)
    ]
    table = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return table[:, 0], table[:, 1]
