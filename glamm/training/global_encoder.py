"""Stage `global_encoder`: the global image encoder learns to see before it learns to talk.

The released model starts from a CLIP that knows objects and attributes. A small encoder that starts from nothing
stays at a plateau for most of a joint run; with heads that name what each patch shows it leaves it in minutes.
The heads are thrown away.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import Dataset

from glamm.config.training import TrainConfig
from glamm.data.shards.reader import ShardReader, read_pixels
from glamm.geometry.preprocess import global_pixels
from glamm.models.glamm import GLaMM
from glamm.training.base_module import Ratio, StageModule
from glamm.training.optimizer import build_optimizer
from glamm.training.patch_labels import count_vocabulary, patch_targets

_NUM_WORDS = 512
_PICTURES_COUNTED = 4000


@dataclass(frozen=True, slots=True)
class PatchBatch:
    """Images and what their patches show."""

    pixels: UInt8[Tensor, "images 3 side side"]
    is_shown: Bool[Tensor, "images patches"]
    words: Float[Tensor, "images patches words"]

    @property
    def num_samples(self) -> int:
        """Images."""
        return len(self.pixels)


class PatchBatches(Dataset[PatchBatch]):
    """Makes batches by number.

    Args:
        reader: Of the training split.
        config: Seed and batch size.
        vocabulary: Words that are learnt.
        side: Of the encoder's square.
        grid_size: Patches along a side.
        rank: Of this process.
    """

    def __init__(
        self,
        reader: ShardReader,
        config: TrainConfig,
        *,
        vocabulary: tuple[str, ...],
        side: int,
        grid_size: int,
        rank: int = 0,
    ) -> None:
        self._reader, self._seed, self._size = reader, config.seed, config.loader.batch_size
        self._vocabulary = {word: index for index, word in enumerate(vocabulary)}
        self._side, self._grid_size, self._rank = side, grid_size, rank

    def __getitem__(self, number: int) -> PatchBatch:
        """The batch of this number."""
        rng = np.random.default_rng((self._seed, number, self._rank))
        pixels, is_shown, words = [], [], []
        for row in rng.integers(len(self._reader), size=self._size):
            samples = self._reader[int(row)]
            reference = samples[0].image
            pixels.append(global_pixels(read_pixels(reference), side=self._side, is_cropped=False))
            shown, described = patch_targets(
                samples, vocabulary=self._vocabulary, grid_size=self._grid_size
            )
            if rng.random() < 0.5:  # no word of a patch depends on the side
                pixels[-1] = pixels[-1][..., ::-1]
                shown, described = self._mirrored(shown), self._mirrored(described)
            is_shown.append(shown)
            words.append(described)
        return PatchBatch(
            torch.from_numpy(np.stack(pixels)),
            torch.from_numpy(np.stack(is_shown)),
            torch.from_numpy(np.stack(words)),
        )

    def _mirrored(self, patches: np.ndarray) -> np.ndarray:
        grid = patches.reshape(self._grid_size, self._grid_size, *patches.shape[1:])
        return grid[:, ::-1].reshape(patches.shape)


def read_vocabulary(reader: ShardReader) -> tuple[str, ...]:
    """The words of the first images of the training split."""
    images = (reader[row] for row in range(min(len(reader), _PICTURES_COUNTED)))
    return count_vocabulary(images, num_words=_NUM_WORDS)


class GlobalEncoderModule(StageModule):
    """The encoder with heads that name what each patch shows.

    Args:
        model: Only its global encoder is trained.
        vocabulary: Words that are learnt.
        config: Rates.
    """

    def __init__(self, model: GLaMM, *, vocabulary: tuple[str, ...], config: TrainConfig) -> None:
        super().__init__()
        width = model.config.global_encoder.hidden_size
        self.global_encoder = model.global_encoder
        self.heads = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, len(vocabulary) + 1))
        self.config = config

    def training_step(self, batch: PatchBatch, _index: int) -> dict[str, Tensor]:
        """Loss of a batch."""
        logits = self.heads(self.global_encoder(batch.pixels).tokens)
        shown = functional.binary_cross_entropy_with_logits(
            logits[..., 0], batch.is_shown.to(logits.dtype)
        )
        named, truth = logits[..., 1:][batch.is_shown], batch.words[batch.is_shown]
        words = functional.binary_cross_entropy_with_logits(named, truth, reduction="sum") / max(
            1, len(named)
        )
        return {"loss": shown + words, "shown_loss": shown.detach(), "words_loss": words.detach()}

    def validation_step(self, batch: PatchBatch, _index: int) -> dict[str, Ratio]:
        """How often a patch's things are found, and how well their words: F1 over all words of all patches."""
        logits = self.heads(self.global_encoder(batch.pixels).tokens)
        is_found = (logits[..., 0] > 0) == batch.is_shown
        named = logits[..., 1:][batch.is_shown] > 0
        truth = batch.words[batch.is_shown] > 0
        hits = int((named & truth).sum())
        return {
            "val_shown": Ratio(float(is_found.sum()), is_found.numel()),
            "val_words_f1": Ratio(2.0 * hits, int(named.sum()) + int(truth.sum())),
        }

    def configure_optimizers(self) -> Any:  # noqa: ANN401 - Lightning's own type is a union of ten
        """AdamW at the full rate."""
        return build_optimizer(
            self,
            self.config.optimizer,
            max_steps=self.config.max_steps,
            full_rate=("global_encoder",),
        )
