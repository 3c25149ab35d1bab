"""What a phase trains, on which data."""

from pathlib import Path
from typing import Any, NamedTuple

import lightning
from torch.utils.data import DataLoader, Dataset

from glamm.config.training import TrainConfig
from glamm.data.loading.datamodule import GLaMMDataModule, ResumableLoader
from glamm.data.shards.reader import ShardReader
from glamm.training.base_module import PhaseModule
from glamm.training.global_encoder import GlobalEncoderModule, PatchBatches, read_vocabulary
from glamm.training.grounding import GroundingModule, PromptBatches
from glamm.training.initialization import Initialization
from glamm.training.joint import GLaMMModule


class Objective(NamedTuple):
    """What `lightning.Trainer.fit` needs.

    Args:
        module: Losses, validation and optimizer.
        data: Training and validation batches for the module.
    """

    module: PhaseModule
    data: lightning.LightningDataModule


def build_objective(shards: Path, config: TrainConfig, initialization: Initialization) -> Objective:
    """Build the module and the data module of a phase.

    Args:
        shards: Folder that `glamm data prepare` wrote.
        config: Names the phase.
        initialization: Its model is trained in place.

    Raises:
        DataError: The shards are missing or damaged.
        ConfigError: A setting does not fit the model.
    """
    model = initialization.model
    if config.phase == "joint":
        data = GLaMMDataModule(
            shards,
            model_config=model.config,
            tokenizer=initialization.tokenizer,
            config=config.loader,
            seed=config.seed,
            steps_per_epoch=config.max_steps,
            accumulation=config.accumulate_grad_batches,
        )
        return Objective(GLaMMModule(model, config=config), data)
    data = EncoderDataModule(shards, config, initialization)
    if config.phase == "grounding":
        return Objective(GroundingModule(model, config=config), data)
    module = GlobalEncoderModule(model, vocabulary=data.vocabulary, config=config)
    return Objective(module, data)


class EncoderDataModule(lightning.LightningDataModule):
    """Batches of the phases that train an image encoder.

    Args:
        shards: Folder that `glamm data prepare` wrote.
        config: Phase, seed and batch size.
        initialization: Its model decides the size of the images.
    """

    def __init__(self, shards: Path, config: TrainConfig, initialization: Initialization) -> None:
        super().__init__()
        self._shards, self._config = shards, config
        self._model_config = initialization.model.config
        self.vocabulary = (
            read_vocabulary(ShardReader(shards / "train"))
            if config.phase == "global_encoder"
            else ()
        )

    def train_dataloader(self) -> ResumableLoader:
        """All batches of the run."""
        rank = self.trainer.global_rank if self.trainer else 0
        batches = self._batches("train", rank=rank + 1)
        return ResumableLoader(
            batches,
            per_epoch=self._config.max_steps * self._config.accumulate_grad_batches,
            num_workers=self._config.loader.num_workers,
        )

    def val_dataloader(self) -> list[DataLoader[Any]]:
        """The first batches of the val split; none if it is missing or empty."""
        folder = self._shards / "val"
        if not folder.is_dir() or not len(ShardReader(folder)):
            return []
        batches = FirstBatches(
            self._batches("val", rank=0), num_batches=self._config.validation.num_batches
        )
        return [DataLoader(batches, batch_size=None)]

    def _batches(self, split: str, *, rank: int) -> PatchBatches | PromptBatches:
        reader = ShardReader(self._shards / split)
        encoders = self._model_config.global_encoder, self._model_config.grounding_encoder
        if self._config.phase == "grounding":
            return PromptBatches(reader, self._config, side=encoders[1].image_size, rank=rank)
        return PatchBatches(
            reader,
            self._config,
            vocabulary=self.vocabulary,
            side=encoders[0].image_size,
            grid_size=encoders[0].grid_size,
            rank=rank,
        )


class FirstBatches(Dataset[Any]):
    """The first batches of a data set without an end.

    Args:
        batches: Gives a batch for every index.
        num_batches: How many of them.
    """

    def __init__(self, batches: PatchBatches | PromptBatches, *, num_batches: int) -> None:
        self._batches, self._num_batches = batches, num_batches

    def __len__(self) -> int:
        """Number of batches."""
        return self._num_batches

    def __getitem__(self, index: int) -> Any:  # noqa: ANN401 - each phase has its own batch
        """A batch."""
        if index >= self._num_batches:
            raise IndexError(index)
        return self._batches[index]
