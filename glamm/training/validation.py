"""Looks at a few images of the validation split while training goes on."""

# ruff: noqa: ARG002 - Lightning calls hooks with names

from collections.abc import Callable, Mapping
from typing import Any

import cv2
import lightning
import torch
from lightning.pytorch.callbacks import Callback

from glamm.config.training import ValidationConfig
from glamm.models.glamm import GLaMM
from glamm.structures.batch import Batch
from glamm.structures.ids import IGNORE_LABEL
from glamm.text.grounded import parse_grounded
from glamm.text.tokenizer import Tokenizer
from glamm.tracking.runs import ImageWithMasks, Run
from glamm.training.base_module import Ratio
from glamm.training.callbacks import ends_a_step
from glamm.training.joint import JointModule
from glamm.training.strategy import is_sharded


class Validation(Callback):
    """Runs the module's `validation_step` on the first process and writes what all batches give together.

    Args:
        config: How often, on how much.
        tokenizer: Turns labels back into words for the images.
        record: Receives (metrics, step).
        run: Receives images; None on other processes.
    """

    def __init__(
        self,
        config: ValidationConfig,
        *,
        tokenizer: Tokenizer,
        record: Callable[[Mapping[str, float], int], None],
        run: Run | None,
    ) -> None:
        self._config, self._tokenizer, self._record, self._run = config, tokenizer, record, run

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: object,
        batch: object,
        batch_idx: int,
    ) -> None:
        """Look when it is time, and at the end."""
        step = trainer.global_step
        is_due = step % self._config.interval == 0 or step == trainer.max_steps
        takes_part = trainer.is_global_zero or is_sharded(pl_module)
        if is_due and ends_a_step(trainer, batch_idx) and takes_part:
            self._look(trainer, pl_module, step)

    @torch.no_grad()
    def _look(self, trainer: lightning.Trainer, module: Any, step: int) -> None:  # noqa: ANN401 - a StageModule
        data: Any = trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue] - set by fit
        loader = data.val_dataloader()
        sums: dict[str, Ratio] = {}
        images: list[ImageWithMasks] = []
        module.eval()
        for index, batch in zip(range(self._config.num_batches), loader, strict=False):
            moved = module.transfer_batch_to_device(batch, module.device, 0)
            for name, ratio in module.validation_step(moved, index).items():
                sums[name] = sums[name] + ratio if name in sums else ratio
            if isinstance(module, JointModule) and len(images) < self._config.num_images:
                images += _images(module.model, moved, self._tokenizer)
        module.train()
        if not sums or not trainer.is_global_zero:
            return
        self._record({name: ratio.value for name, ratio in sums.items()}, step)
        if self._run:
            self._run.log_images("validation", images[: self._config.num_images], step)


def _images(model: GLaMM, batch: Batch, tokenizer: Tokenizer) -> list[ImageWithMasks]:
    """The masks for the given answers, beside the true ones."""
    logits = model(batch).mask_logits
    images = []
    for index, size in enumerate(batch.original_sizes):
        if not len(logits) or batch.image_index.tolist().count(index) != 1:
            continue
        row = batch.image_index.tolist().index(index)
        words = [value for value in batch.labels[row].tolist() if value != IGNORE_LABEL]
        answer = parse_grounded(tokenizer.decode(words))
        phrases = tuple(answer.text[start:end] for start, end in answer.ranges)
        pixels = batch.global_pixels[index].cpu().numpy().transpose(1, 2, 0)
        images.append(
            ImageWithMasks(
                name=batch.sample_ids[row],
                image=cv2.resize(pixels, (size[1], size[0])),
                predicted=(logits[index] > 0).cpu().numpy(),
                predicted_phrases=phrases,
                truth=batch.masks[index].cpu().numpy(),
                truth_phrases=phrases,
                text=answer.text,
                reference=answer.text,
            )
        )
    return images
