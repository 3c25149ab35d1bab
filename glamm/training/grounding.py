"""Phase `grounding`: SAM's parts are trained alone, to segment what a point or a box prompts for, as SAM was.

Axis names: ``side`` of the padded square in pixels; ``masks`` of one image.
"""

from dataclasses import dataclass
from typing import ClassVar

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
from glamm.structures.sample import Obj
from glamm.training.base_module import Evaluation, PhaseModule, Ratio
from glamm.typing import Size

_MASKS_PER_IMAGE = 4
_DRAWS_PER_IMAGE = 50
"""Images that are read, at most, to find one with a mask."""

_BOX_SHARE = 0.5
"""Share of the images that are prompted with boxes; the others are prompted with points."""
_BOX_JITTER = 0.1
"""Standard deviation of a box's edges as a share of its sides."""


@dataclass(frozen=True, slots=True)
class PromptBatch:
    """Images, prompts, and the masks that the prompts ask for; all coordinates are those of the padded square.

    Args:
        pixels: RGB before normalization.
        resized_sizes: (height, width) in pixels of each image inside its square.
        points: x, y in pixels, one per mask; used where `is_box` is False.
        boxes: x1, y1, x2, y2 in pixels, one per mask; used where `is_box` is True.
        is_box: Whether an image is prompted with boxes, for each image.
        masks: Targets of each image.
    """

    pixels: UInt8[Tensor, "images 3 side side"]
    resized_sizes: tuple[Size, ...]
    points: tuple[Float[Tensor, "_ 2"], ...]
    boxes: tuple[Float[Tensor, "_ 4"], ...]
    is_box: tuple[bool, ...]
    masks: tuple[Bool[Tensor, "_ side side"], ...]

    @property
    def num_samples(self) -> int:
        """Number of images."""
        return len(self.pixels)


@dataclass(frozen=True, slots=True)
class _PromptedImage:
    pixels: UInt8[np.ndarray, "3 side side"]
    resized_size: Size
    points: Float[np.ndarray, "masks 2"]
    boxes: Float[np.ndarray, "masks 4"]
    masks: Bool[np.ndarray, "masks side side"]


class PromptBatches(Dataset[PromptBatch]):
    """Random batches; a batch is a function of the seed, its index and the rank.

    Args:
        reader: Reads the images and their objects.
        config: Seed and batch size.
        side: Side of the encoder's square in pixels.
        rank: Distinguishes the processes of a run.
    """

    def __init__(
        self, reader: ShardReader, config: TrainConfig, *, side: int, rank: int = 0
    ) -> None:
        self._reader, self._seed, self._size = reader, config.seed, config.loader.batch_size
        self._side, self._rank = side, rank

    def __getitem__(self, index: int) -> PromptBatch:
        """A batch of randomly chosen images with masks.

        Raises:
            DataError: Hardly any image has a mask.
        """
        rng = np.random.default_rng((self._seed, index, self._rank))
        images: list[_PromptedImage] = []
        for _ in range(self._size * _DRAWS_PER_IMAGE):
            if len(images) == self._size:
                break
            image = self._draw(rng)
            if image is not None:
                images.append(image)
        if len(images) < self._size:
            raise DataError(
                f"of {self._size * _DRAWS_PER_IMAGE} images only {len(images)} have a mask: "
                "the phase grounding needs a data set with masks"
            )
        return PromptBatch(
            pixels=torch.from_numpy(np.stack([image.pixels for image in images])),
            resized_sizes=tuple(image.resized_size for image in images),
            points=tuple(torch.from_numpy(image.points) for image in images),
            boxes=tuple(torch.from_numpy(image.boxes) for image in images),
            is_box=tuple(bool(value) for value in rng.random(self._size) < _BOX_SHARE),
            masks=tuple(torch.from_numpy(image.masks) for image in images),
        )

    def _draw(self, rng: np.random.Generator) -> _PromptedImage | None:
        """A random image with some of its masks; None if it has none, or they vanish when it is resized."""
        sample = self._reader[int(rng.integers(len(self._reader)))][0]
        objects = [obj for obj in sample.objects if obj.mask is not None]
        if not objects:
            return None
        chosen = rng.permutation(len(objects))[:_MASKS_PER_IMAGE]
        pixels, resized = grounding_pixels(read_pixels(sample.image), side=self._side)
        targets = np.stack([_fit_mask(objects[index], resized, self._side) for index in chosen])
        targets = targets[targets.any((1, 2))]
        if not len(targets):
            return None
        points = np.array([_point_inside(mask, rng) for mask in targets], dtype=np.float32)
        boxes = np.array([_jittered_box(mask, rng) for mask in targets], dtype=np.float32)
        return _PromptedImage(pixels, resized, points, boxes, targets)


def _fit_mask(obj: Obj, resized: Size, side: int) -> Bool[np.ndarray, "side side"]:
    assert obj.mask is not None  # noqa: S101 - the caller filtered; for the type checker
    padded = np.zeros((side, side), dtype=bool)
    padded[: resized[0], : resized[1]] = masks.coverage(masks.decode(obj.mask), resized) > 0.5
    return padded


def _point_inside(
    mask: Bool[np.ndarray, "side side"], rng: np.random.Generator
) -> tuple[float, float]:
    """The x, y of a random pixel of the mask."""
    rows, columns = np.nonzero(mask)
    index = int(rng.integers(len(rows)))
    return float(columns[index]), float(rows[index])


def _jittered_box(
    mask: Bool[np.ndarray, "side side"], rng: np.random.Generator
) -> tuple[float, ...]:
    """The box around the mask, each edge moved at random, inside the square."""
    x1, y1, x2, y2 = masks.to_box(mask) or (0.0, 0.0, 1.0, 1.0)
    scale = np.array([x2 - x1, y2 - y1, x2 - x1, y2 - y1]) * _BOX_JITTER
    jittered = np.array([x1, y1, x2, y2]) + rng.normal(size=4) * scale
    return tuple(np.clip(jittered, 0, mask.shape[0]).tolist())


class GroundingModule(PhaseModule):
    """Trains SAM's three parts with point and box prompts.

    Args:
        model: Its grounding encoder, prompt encoder and mask decoder are trained.
        config: Optimizer, number of steps and loss weights.
    """

    validation_names: ClassVar[tuple[str, ...]] = ("val_iou",)

    def __init__(self, model: GLaMM, *, config: TrainConfig) -> None:
        super().__init__(config, full_rate=("grounding_encoder",))
        self.grounding_encoder = model.grounding_encoder
        self.prompt_encoder = model.prompt_encoder
        self.mask_decoder = model.mask_decoder
        self.side = model.config.grounding_encoder.image_size
        self.bce_weight = (
            model.config.losses.bce_weight if config.bce_weight is None else config.bce_weight
        )
        self.dice_weight = 1.0 if config.dice_weight is None else config.dice_weight

    def forward(self, batch: PromptBatch) -> tuple[Float[Tensor, "_ side side"], ...]:
        """For each image, the logits of its masks on the padded square."""
        embeddings = self.grounding_encoder(batch.pixels, batch.resized_sizes)
        prompts = [self._encode_prompts(batch, index) for index in range(len(batch.pixels))]
        counts = torch.tensor([len(tokens) for tokens in prompts], device=embeddings.device)
        image_index = torch.arange(len(prompts), device=embeddings.device).repeat_interleave(counts)
        low, _ = self.mask_decoder(
            torch.cat(prompts), embeddings, image_index, prompt_encoder=self.prompt_encoder
        )
        square = (self.side, self.side)
        logits = restore_mask_logits(
            low, padded_size=self.side, resized_size=square, original_size=square
        )
        return logits.split(counts.tolist())

    def _encode_prompts(self, batch: PromptBatch, index: int) -> Float[Tensor, "masks 2 channels"]:
        """Two tokens per mask: the corners of a box, or a point and SAM's "no second point"."""
        if batch.is_box[index]:
            return self.prompt_encoder(points=None, boxes=batch.boxes[index], masks=None)[0]
        points = batch.points[index][:, None]
        labels = torch.ones(points.shape[:2], dtype=torch.int, device=points.device)
        return self.prompt_encoder(points=(points, labels), boxes=None, masks=None)[0]

    def compute_losses(self, batch: PromptBatch) -> dict[str, Tensor]:
        """The weighted loss, and its terms without their weights."""
        bce, dice = mask_losses(self(batch), batch.masks)
        loss = self.bce_weight * bce + self.dice_weight * dice
        return {"loss": loss, "bce_loss": bce.detach(), "dice_loss": dice.detach()}

    def evaluate(self, batch: PromptBatch) -> Evaluation:
        """Mean IoU over masks."""
        mask_logits = self(batch)
        ious = [
            (predicted & target).sum() / (predicted | target).sum().clamp(min=1)
            for logits, targets in zip(mask_logits, batch.masks, strict=True)
            for predicted, target in zip(logits > 0, targets, strict=True)
        ]
        return Evaluation(
            {"val_iou": Ratio(float(torch.stack(ious).sum()), len(ious))}, mask_logits
        )
