"""Shards as batches for training and validation, the same whatever the number of workers, resumable at any batch."""

import math
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from lightning import LightningDataModule
from torch.utils.data import DataLoader, Dataset

from glamm.config.data import LoaderConfig
from glamm.config.model import ModelConfig
from glamm.data.loading.collate import SamplePreprocessor, collate
from glamm.data.loading.sampler import Mixture
from glamm.data.shards.reader import ShardReader
from glamm.data.task_groups import GROUP_OF_TASK
from glamm.errors import DataError
from glamm.geometry.image_files import decode
from glamm.structures.batch import Batch
from glamm.structures.sample import Sample
from glamm.text.tokenizer import Tokenizer

_GROUNDED = "grounded_conversation"


class TrainBatches(Dataset[Batch]):
    """Batches by number.

    Args:
        reader: Of the train shards.
        mixture: Says what an optimiser step trains, over all devices and passes.
        maker: Makes images.
        pad_id: Fills rows.
        config: Batch size and conversations per image.
        accumulation: Passes of an optimiser step; all train the same kind of conversation.
        rank: Which device this is.
        world_size: How many devices there are.
    """

    def __init__(
        self,
        *,
        reader: ShardReader,
        mixture: Mixture,
        maker: SamplePreprocessor,
        pad_id: int,
        config: LoaderConfig,
        accumulation: int,
        rank: int,
        world_size: int,
    ) -> None:
        self._reader = reader
        self._mixture = mixture
        self._maker = maker
        self._pad_id = pad_id
        self._config = config
        self._accumulation = accumulation
        self._rank = rank
        self._world_size = world_size

    def __getitem__(self, number: int) -> Batch:
        """The batch of a pass, counted from 0 over the whole run.

        Raises:
            DataError: None of its samples fits into the model, or a shard is damaged.
        """
        step, part = divmod(number, self._accumulation)
        size = self._config.batch_size
        first = (part * self._world_size + self._rank) * size
        plan = self._mixture.at(step)
        images = [
            image
            for draw in plan.draws[first : first + size]
            if (image := self._maker.make(self._samples(draw.stream, draw.index), epoch=draw.epoch))
        ]
        if not images:
            raise DataError(
                f"none of the samples of batch {number} fits into the model: shorten the texts"
            )
        return collate(images, pad_id=self._pad_id)

    def _samples(self, stream: int, index: int) -> list[Sample]:
        """The sample that was drawn and further ones of its kind about the same image."""
        row, place, _ = self._mixture.streams[stream].places[index].tolist()
        samples = self._reader[row]
        drawn = samples[place]
        group = GROUP_OF_TASK[drawn.task]
        others = [
            sample
            for sample in (*samples[place + 1 :], *samples[:place])
            if GROUP_OF_TASK[sample.task] == group
        ]
        return [drawn, *others[: self._config.conversations_per_image - 1]]


class StepLoader:
    """Iterates over batches of one epoch after another and remembers where it is.

    Args:
        batches: By number, counted over the whole run.
        per_epoch: Batches of an epoch.
        num_workers: Processes that make them; the batches do not depend on it.
    """

    def __init__(self, batches: Dataset[Any], *, per_epoch: int, num_workers: int) -> None:
        self._batches = batches
        self._per_epoch = per_epoch
        self._num_workers = num_workers
        self.next_batch = 0

    def __len__(self) -> int:
        """Batches of an epoch."""
        return self._per_epoch

    def __iter__(self) -> Iterator[Any]:
        """Go on where the last iteration or the loaded state ended, to the end of that epoch."""
        end = (self.next_batch // self._per_epoch + 1) * self._per_epoch
        loader = DataLoader(
            self._batches,
            batch_size=None,
            sampler=range(self.next_batch, end),
            num_workers=self._num_workers,
            collate_fn=_as_it_is,
            worker_init_fn=_leave_signals_to_the_run,
        )
        for batch in loader:
            self.next_batch += 1
            yield batch

    def state_dict(self) -> dict[str, Any]:
        """How many batches were given out."""
        return {"next_batch": self.next_batch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on after that many batches."""
        self.next_batch = int(state["next_batch"])


class ValidationBatches(Dataset[Batch]):
    """The grounded conversations of a split in order, each once; none where there is no such split."""

    def __init__(
        self, *, reader: ShardReader | None, maker: SamplePreprocessor, pad_id: int, batch_size: int
    ) -> None:
        self._reader = reader
        self._maker = maker
        self._pad_id = pad_id
        self._batch_size = batch_size
        streams = reader.streams if reader else ()
        self._places = np.concatenate(
            [np.zeros((0, 3), np.int64), *(s.places for s in streams if s.group == _GROUNDED)]
        )

    def __len__(self) -> int:
        """Number of batches, the last one as large as what is left."""
        return math.ceil(len(self._places) / self._batch_size)

    def __getitem__(self, number: int) -> Batch:
        """A batch, always worded the same."""
        if self._reader is None:
            raise IndexError(number)
        first = number * self._batch_size
        reader = self._reader
        images = [
            image
            for row, place, _ in self._places[first : first + self._batch_size].tolist()
            if (image := self._maker.make([reader[row][place]], epoch=0))
        ]
        if not images:
            raise DataError(f"none of the samples of validation batch {number} fits into the model")
        return collate(images, pad_id=self._pad_id)


class GLaMMDataModule(LightningDataModule):
    """Batches from prepared shards.

    Args:
        shards: Folder that `glamm data prepare` wrote.
        model_config: Of the model that reads the batches.
        tokenizer: The model's.
        config: How batches are made.
        seed: Of the run.
        steps_per_epoch: Optimiser steps of an epoch.
        accumulation: Passes of an optimiser step.
    """

    def __init__(
        self,
        shards: Path,
        *,
        model_config: ModelConfig,
        tokenizer: Tokenizer,
        config: LoaderConfig,
        seed: int,
        steps_per_epoch: int,
        accumulation: int = 1,
    ) -> None:
        super().__init__()
        self._shards = shards
        self._model_config = model_config
        self._tokenizer = tokenizer
        self._config = config
        self._seed = seed
        self._steps_per_epoch = steps_per_epoch
        self._accumulation = accumulation
        self._pad_id = model_config.special_tokens.pad

    def train_dataloader(self) -> StepLoader:
        """Batches of the mixture; has `state_dict` and `load_state_dict`, which Lightning keeps in checkpoints."""
        reader = ShardReader(self._shards / "train")
        world_size = self.trainer.world_size if self.trainer else 1
        batches = TrainBatches(
            reader=reader,
            mixture=Mixture(
                reader.streams,
                self._config.mixture,
                seed=self._seed,
                samples_per_step=self._config.batch_size * world_size * self._accumulation,
                length_bucket_steps=self._config.length_bucket_steps,
            ),
            maker=self._maker(
                flip_probability=self._config.flip_probability,
                mask_side=self._config.mask_loss_max_side,
            ),
            pad_id=self._pad_id,
            config=self._config,
            accumulation=self._accumulation,
            rank=self.trainer.global_rank if self.trainer else 0,
            world_size=world_size,
        )
        per_epoch = self._steps_per_epoch * self._accumulation
        return StepLoader(batches, per_epoch=per_epoch, num_workers=self._config.num_workers)

    def val_dataloader(self) -> DataLoader[Batch]:
        """Grounded conversations of the val split, in order; none where there is no val split."""
        folder = self._shards / "val"
        batches = ValidationBatches(
            reader=ShardReader(folder) if folder.is_dir() else None,
            maker=self._maker(flip_probability=0.0, mask_side=None),
            pad_id=self._pad_id,
            batch_size=self._config.batch_size,
        )
        return DataLoader(
            batches,
            batch_size=None,
            num_workers=self._config.num_workers,
            collate_fn=_as_it_is,
            worker_init_fn=_leave_signals_to_the_run,
        )

    def _maker(self, *, flip_probability: float, mask_side: int | None) -> SamplePreprocessor:
        return SamplePreprocessor(
            model_config=self._model_config,
            tokenizer=self._tokenizer,
            seed=self._seed,
            flip_probability=flip_probability,
            mask_side=mask_side,
        )


class Scenes(Dataset[tuple[UInt8[np.ndarray, "height width 3"], Sample]]):
    """Every image of a split with its objects, for training that needs no words.

    Args:
        shards: Folder that `glamm data prepare` wrote.
        split: train, val or test.
    """

    def __init__(self, shards: Path, *, split: str) -> None:
        self._reader = ShardReader(shards / split)

    def __len__(self) -> int:
        """Number of images."""
        return len(self._reader)

    def __getitem__(self, row: int) -> tuple[UInt8[np.ndarray, "height width 3"], Sample]:
        """The image as RGB, and its first sample, which has all objects."""
        sample = self._reader[row][0]
        return decode(sample.image.data or b"", size=sample.image.size), sample


def _leave_signals_to_the_run(_worker: int) -> None:
    """Ctrl-C and a pipeline's SIGTERM reach the whole group; workers must live until the run has saved."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _as_it_is(batch: Any) -> Any:  # noqa: ANN401 - DataLoader's own type is no narrower
    return batch
