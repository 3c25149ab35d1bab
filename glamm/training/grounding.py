"""Stage `grounding`: SAM's part alone learns to segment what a point or a box asks for, as the real SAM did.

It is also a small, real box-to-mask model.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from torch.utils.data import Dataset

from glamm.config.training import TrainConfig
from glamm.data.shards.reader import ShardReader, read_pixels
from glamm.errors import DataError
from glamm.geometry import masks
from glamm.geometry.preprocess import grounding_pixels
from glamm.models.glamm import GLaMM
from glamm.models.glamm.losses import mask_losses
from glamm.models.sam.mask_decoder import restore_mask_logits
from glamm.training.base_module import Ratio, StageModule
from glamm.training.optimizer import build_optimizer
from glamm.typing import Size

_MASKS_A_PICTURE = 4
_DRAWS_A_PICTURE = 50
"""How many images are looked at to find one with a mask."""

_BOX_SHARE = 0.5
_BOX_JITTER = 0.1
"""Standard deviation of a box's edges as a share of its sides."""


@dataclass(frozen=True, slots=True)
class PromptBatch:
    """Images, prompts and the masks they ask for, all in the frame of the padded square.

    Args:
        points: x, y in pixels of the square; used where `is_box` is False.
        boxes: x1, y1, x2, y2 in pixels of the square; used where `is_box` is True.
    """

    pixels: UInt8[Tensor, "images 3 side side"]
    resized_sizes: tuple[Size, ...]
    points: tuple[Float[Tensor, "_ 2"], ...]
    boxes: tuple[Float[Tensor, "_ 4"], ...]
    is_box: tuple[bool, ...]
    masks: tuple[Bool[Tensor, "_ side side"], ...]

    @property
    def num_samples(self) -> int:
        """Images."""
        return len(self.pixels)


class PromptBatches(Dataset[PromptBatch]):
    """Makes batches by number.

    Args:
        reader: Of the training split.
        config: Seed and batch size.
        side: Of the encoder's square.
        rank: Of this process.
    """

    def __init__(
        self, reader: ShardReader, config: TrainConfig, *, side: int, rank: int = 0
    ) -> None:
        self._reader, self._seed, self._size = reader, config.seed, config.loader.batch_size
        self._side, self._rank = side, rank

    def __getitem__(self, number: int) -> PromptBatch:
        """The batch of this number; images without a mask are passed over.

        Raises:
            DataError: Hardly any image has a mask.
        """
        rng = np.random.default_rng((self._seed, number, self._rank))
        pixels, sizes, points, boxes, truths = [], [], [], [], []
        for _ in range(self._size * _DRAWS_A_PICTURE):
            if len(pixels) == self._size:
                break
            samples = self._reader[int(rng.integers(len(self._reader)))]
            objects = [obj for obj in samples[0].objects if obj.mask is not None]
            if not objects:
                continue
            chosen = rng.permutation(len(objects))[:_MASKS_A_PICTURE]
            reference = samples[0].image
            square, resized = grounding_pixels(read_pixels(reference), side=self._side)
            truth = np.zeros((len(chosen), self._side, self._side), dtype=bool)
            for index, number_of_object in enumerate(chosen):
                mask = objects[number_of_object].mask
                if mask is not None:
                    inside = masks.coverage(masks.decode(mask), resized) > 0.5
                    truth[index, : resized[0], : resized[1]] = inside
            truth = truth[truth.any((1, 2))]
            if not len(truth):
                continue
            pixels.append(square)
            sizes.append(resized)
            truths.append(torch.from_numpy(truth))
            points.append(
                torch.tensor(np.stack([_point_in(one, rng) for one in truth]), dtype=torch.float32)
            )
            boxes.append(
                torch.tensor(
                    np.stack([_box_around(one, rng) for one in truth]), dtype=torch.float32
                )
            )
        if len(pixels) < self._size:
            raise DataError(
                f"of {self._size * _DRAWS_A_PICTURE} images only {len(pixels)} have a mask: "
                "the stage grounding needs a data set with masks"
            )
        is_box = tuple(bool(value) for value in rng.random(self._size) < _BOX_SHARE)
        return PromptBatch(
            torch.from_numpy(np.stack(pixels)),
            tuple(sizes),
            tuple(points),
            tuple(boxes),
            is_box,
            tuple(truths),
        )


def _point_in(mask: Bool[np.ndarray, "side side"], rng: np.random.Generator) -> tuple[float, float]:
    rows, columns = np.nonzero(mask)
    index = int(rng.integers(len(rows)))
    return float(columns[index]), float(rows[index])


def _box_around(mask: Bool[np.ndarray, "side side"], rng: np.random.Generator) -> tuple[float, ...]:
    x1, y1, x2, y2 = masks.to_box(mask) or (0.0, 0.0, 1.0, 1.0)
    scale = np.array([x2 - x1, y2 - y1, x2 - x1, y2 - y1]) * _BOX_JITTER
    jittered = np.array([x1, y1, x2, y2]) + rng.normal(size=4) * scale
    return tuple(np.clip(jittered, 0, mask.shape[0]).tolist())


class GroundingModule(StageModule):
    """SAM's three parts with point and box prompts.

    Args:
        model: Its grounding encoder, prompt encoder and mask decoder are trained.
        config: Rates and loss weights.
    """

    def __init__(self, model: GLaMM, *, config: TrainConfig) -> None:
        super().__init__()
        self.grounding_encoder = model.grounding_encoder
        self.prompt_encoder = model.prompt_encoder
        self.mask_decoder = model.mask_decoder
        self.side = model.config.grounding_encoder.image_size
        self.bce_weight = (
            model.config.losses.bce_weight if config.bce_weight is None else config.bce_weight
        )
        self.dice_weight = 1.0 if config.dice_weight is None else config.dice_weight
        self.config = config

    def forward(self, batch: PromptBatch) -> tuple[Float[Tensor, "_ side side"], ...]:
        """Logits of every mask, on the padded square."""
        embeddings = self.grounding_encoder(batch.pixels, batch.resized_sizes)
        prompts = [self._prompts(batch, index) for index in range(len(batch.pixels))]
        counts = torch.tensor([len(one) for one in prompts], device=embeddings.device)
        image_index = torch.arange(len(prompts), device=embeddings.device).repeat_interleave(counts)
        low, _ = self.mask_decoder(
            torch.cat(prompts), embeddings, image_index, prompt_encoder=self.prompt_encoder
        )
        square = (self.side, self.side)
        logits = restore_mask_logits(
            low, padded_size=self.side, resized_size=square, original_size=square
        )
        return logits.split(counts.tolist())

    def _prompts(self, batch: PromptBatch, index: int) -> Float[Tensor, "masks 2 channels"]:
        """Two tokens a mask: the corners of a box, or a point and SAM's "no second point"."""
        if batch.is_box[index]:
            return self.prompt_encoder(points=None, boxes=batch.boxes[index], masks=None)[0]
        points = batch.points[index][:, None]
        labels = torch.ones(points.shape[:2], dtype=torch.int, device=points.device)
        return self.prompt_encoder(points=(points, labels), boxes=None, masks=None)[0]

    def training_step(self, batch: PromptBatch, _index: int) -> dict[str, Tensor]:
        """Loss of a batch."""
        bce, dice = mask_losses(self(batch), batch.masks)
        loss = self.bce_weight * bce + self.dice_weight * dice
        return {"loss": loss, "bce_loss": bce.detach(), "dice_loss": dice.detach()}

    def validation_step(self, batch: PromptBatch, _index: int) -> dict[str, Ratio]:
        """Mean intersection over union of the masks."""
        values = [
            (one & two).sum() / (one | two).sum().clamp(min=1)
            for logits, truth in zip(self(batch), batch.masks, strict=True)
            for one, two in zip(logits > 0, truth, strict=True)
        ]
        return {"val_iou": Ratio(float(torch.stack(values).sum()), len(values))}

    def configure_optimizers(self) -> Any:  # noqa: ANN401 - Lightning's own type is a union of ten
        """AdamW at the full rate."""
        return build_optimizer(
            self,
            self.config.optimizer,
            max_steps=self.config.max_steps,
            full_rate=("grounding_encoder",),
        )
