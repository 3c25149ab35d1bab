"""Stage `joint`: the whole model learns to talk, to point and to segment."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from glamm.config.training import TrainConfig
from glamm.models.glamm import GLaMM
from glamm.structures.batch import Batch
from glamm.training.optimizer import ENCODERS, build_optimizer
from glamm.training.stage import Ratio, StageModule


class JointModule(StageModule):
    """The model and how it is trained.

    Args:
        model: All of it is trained; the two image encoders at their own rate, not at all where that is 0.
        config: Rates.
    """

    def __init__(self, model: GLaMM, *, config: TrainConfig) -> None:
        super().__init__()
        self.model = model
        self.config = config
        if config.optimizer.encoder_factor == 0:
            for name in ENCODERS:
                model.get_submodule(name).requires_grad_(requires_grad=False)

    def training_step(self, batch: Batch, _index: int) -> dict[str, Tensor]:
        """Loss of a batch."""
        output = self.model(batch)
        return {
            "loss": output.loss,
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
