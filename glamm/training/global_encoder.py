"""Phase `global_encoder`: the global image encoder is trained alone, to recognize objects and attributes.

The release starts from CLIP, which does. A small encoder with random weights stays at a plateau for most of a joint
run; with heads that predict what each patch shows, it leaves the plateau within minutes. The heads are not kept.

Axis names: ``patches`` cells of the encoder's grid, row by row; ``words`` of the vocabulary.
"""

from dataclasses import dataclass
from typing import ClassVar

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
from glamm.training.base_module import Evaluation, PhaseModule, Ratio
from glamm.training.patch_labels import count_vocabulary, patch_targets

_VOCABULARY_SIZE = 512
_VOCABULARY_IMAGES = 4000


@dataclass(frozen=True, slots=True)
class PatchBatch:
    """Images, and what their patches show.

    Args:
        pixels: RGB before normalization.
        has_object: An object covers the patch.
        words: 1 for the words that describe the object of the patch, else 0.
    """

    pixels: UInt8[Tensor, "images 3 side side"]
    has_object: Bool[Tensor, "images patches"]
    words: Float[Tensor, "images patches words"]

    @property
    def num_samples(self) -> int:
        """Number of images."""
        return len(self.pixels)


class PatchBatches(Dataset[PatchBatch]):
    """Random batches; a batch is a function of the seed, its index and the rank.

    Args:
        reader: Reads the images and their objects.
        config: Seed and batch size.
        vocabulary: Words that become targets.
        side: Side of the encoder's square in pixels.
        grid_size: Patches along a side.
        rank: Distinguishes the processes of a run.
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

    def __getitem__(self, index: int) -> PatchBatch:
        """A batch of randomly chosen images, half of them mirrored."""
        rng = np.random.default_rng((self._seed, index, self._rank))
        pixels, has_object, words = [], [], []
        for image_index in rng.integers(len(self._reader), size=self._size):
            samples = self._reader[int(image_index)]
            image = read_pixels(samples[0].image)
            pixels.append(global_pixels(image, side=self._side, is_cropped=False))
            covered, described = patch_targets(
                samples, vocabulary=self._vocabulary, grid_size=self._grid_size
            )
            if rng.random() < 0.5:  # no word of a patch depends on left and right
                pixels[-1] = pixels[-1][..., ::-1]
                covered, described = self._mirror(covered), self._mirror(described)
            has_object.append(covered)
            words.append(described)
        return PatchBatch(
            torch.from_numpy(np.stack(pixels)),
            torch.from_numpy(np.stack(has_object)),
            torch.from_numpy(np.stack(words)),
        )

    def _mirror(self, patches: np.ndarray) -> np.ndarray:
        grid = patches.reshape(self._grid_size, self._grid_size, *patches.shape[1:])
        return grid[:, ::-1].reshape(patches.shape)


def read_vocabulary(reader: ShardReader) -> tuple[str, ...]:
    """The most frequent words for objects in the first images of a split."""
    images = (reader[index] for index in range(min(len(reader), _VOCABULARY_IMAGES)))
    return count_vocabulary(images, num_words=_VOCABULARY_SIZE)


class GlobalEncoderModule(PhaseModule):
    """Trains the global encoder with two temporary heads on each patch: is there an object, and which words describe it.

    Args:
        model: Only its global encoder is trained.
        vocabulary: The words; one output of the head for each.
        config: Optimizer and number of steps.
    """

    validation_names: ClassVar[tuple[str, ...]] = ("val_shown", "val_words_f1")

    def __init__(self, model: GLaMM, *, vocabulary: tuple[str, ...], config: TrainConfig) -> None:
        super().__init__(config, full_rate=("global_encoder",))
        width = model.config.global_encoder.hidden_size
        self.global_encoder = model.global_encoder
        self.heads = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, len(vocabulary) + 1))

    def compute_losses(self, batch: PatchBatch) -> dict[str, Tensor]:
        """Binary cross-entropy of both heads; words count only on patches with an object."""
        logits = self.heads(self.global_encoder(batch.pixels).tokens)
        object_loss = functional.binary_cross_entropy_with_logits(
            logits[..., 0], batch.has_object.to(logits.dtype)
        )
        predicted, target = logits[..., 1:][batch.has_object], batch.words[batch.has_object]
        words_loss = functional.binary_cross_entropy_with_logits(
            predicted, target, reduction="sum"
        ) / max(1, len(predicted))
        return {
            "loss": object_loss + words_loss,
            "shown_loss": object_loss.detach(),
            "words_loss": words_loss.detach(),
        }

    def evaluate(self, batch: PatchBatch) -> Evaluation:
        """Accuracy of "there is an object", and F1 of the words, over all patches and words."""
        logits = self.heads(self.global_encoder(batch.pixels).tokens)
        is_correct = (logits[..., 0] > 0) == batch.has_object
        predicted = logits[..., 1:][batch.has_object] > 0
        target = batch.words[batch.has_object] > 0
        true_positives = int((predicted & target).sum())
        return Evaluation(
            {
                "val_shown": Ratio(float(is_correct.sum()), is_correct.numel()),
                "val_words_f1": Ratio(
                    2.0 * true_positives, int(predicted.sum()) + int(target.sum())
                ),
            }
        )
