"""Batches of shards for training and validation: the same whatever the number of workers, resumable at any batch."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from signal import SIG_IGN, signal
from typing import Any

from lightning import LightningDataModule
from torch.utils.data import DataLoader, Dataset

from glamm.config.data import LoaderConfig
from glamm.config.model import ModelConfig
from glamm.data.loading.collate import ImageExample, SamplePreprocessor, collate
from glamm.data.loading.sampler import Draw, Mixture, feistel_permutation
from glamm.data.loading.text_limit import fitting_streams
from glamm.data.shards.reader import ShardReader
from glamm.data.task_groups import GROUP_OF_TASK
from glamm.errors import DataError
from glamm.stop_request import SIGNALS
from glamm.structures.batch import Batch
from glamm.structures.sample import Sample, Task
from glamm.text.tokenizer import Tokenizer


class TrainBatches(Dataset[Batch]):
    """Training batches by index.

    Args:
        reader: Reads the train split.
        mixture: Plans the samples of an optimizer step, over all devices and passes.
        preprocessor: Turns samples into examples.
        pad_id: Token id that pads conversations.
        config: Batch size and conversations per image.
        accumulation: Passes of an optimizer step; all have the same task group.
        rank: Index of this device, from 0.
        world_size: Number of devices.
    """

    def __init__(
        self,
        *,
        reader: ShardReader,
        mixture: Mixture,
        preprocessor: SamplePreprocessor,
        pad_id: int,
        config: LoaderConfig,
        accumulation: int,
        rank: int,
        world_size: int,
    ) -> None:
        self._reader = reader
        self._mixture = mixture
        self._preprocessor = preprocessor
        self._pad_id = pad_id
        self._config = config
        self._accumulation = accumulation
        self._rank = rank
        self._world_size = world_size

    def __getitem__(self, index: int) -> Batch:
        """The batch of a pass, counted from 0 over the whole run.

        Raises:
            DataError: No sample of a data set fits into the model, or a shard is damaged.
        """
        step, pass_index = divmod(index, self._accumulation)
        size = self._config.batch_size
        first = (pass_index * self._world_size + self._rank) * size
        draws = self._mixture.at(step).draws[first : first + size]
        return collate([self._example(draw) for draw in draws], pad_id=self._pad_id)

    def _example(self, draw: Draw) -> ImageExample:
        """The drawn sample; where the wording of this epoch is too long for the model, another one of its stream."""
        stream = self._mixture.streams[draw.stream]
        key = f"{draw.epoch}/{draw.index}"
        others = (feistel_permutation(i, len(stream), key=key) for i in range(len(stream)))
        for index in chain([draw.index], others):
            samples = self._samples(draw.stream, index)
            example = self._preprocessor.preprocess(samples, epoch=draw.epoch)
            if example is not None:
                return example
        raise DataError(
            f"no sample of {stream.dataset} fits into the model: shorten the texts of the data set"
        )

    def _samples(self, stream: int, index: int) -> list[Sample]:
        """The drawn sample and further ones of its task group about the same image."""
        image, sample_index, _ = self._mixture.streams[stream].entries[index].tolist()
        samples = self._reader[image]
        drawn = samples[sample_index]
        group = GROUP_OF_TASK[drawn.task]
        others = [
            sample
            for sample in (*samples[sample_index + 1 :], *samples[:sample_index])
            if GROUP_OF_TASK[sample.task] == group
        ]
        return [drawn, *others[: self._config.conversations_per_image - 1]]


class ResumableLoader:
    """Loads the batches of one epoch after another; its state is the index of the next batch.

    Args:
        batches: By index, counted over the whole run.
        per_epoch: Number of batches in an epoch.
        num_workers: Processes that make batches; the batches do not depend on it.
    """

    def __init__(self, batches: Dataset[Any], *, per_epoch: int, num_workers: int) -> None:
        self._batches = batches
        self._per_epoch = per_epoch
        self._num_workers = num_workers
        self.next_batch = 0

    def __len__(self) -> int:
        """Number of batches in an epoch."""
        return self._per_epoch

    def __iter__(self) -> Iterator[Any]:
        """Batches from the next one to the end of its epoch."""
        end = (self.next_batch // self._per_epoch + 1) * self._per_epoch
        loader = DataLoader(
            self._batches,
            batch_size=None,
            sampler=range(self.next_batch, end),
            num_workers=self._num_workers,
            collate_fn=_identity,
            worker_init_fn=_ignore_signals,
        )
        for batch in loader:
            self.next_batch += 1
            yield batch

    def state_dict(self) -> dict[str, Any]:
        """Index of the next batch."""
        return {"next_batch": self.next_batch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue at the batch of a saved state."""
        self.next_batch = int(state["next_batch"])


class ValidationBatches(Dataset[Batch]):
    """The samples of one task in a split, each once, in order.

    Args:
        reader: Reads the split.
        entries: For each sample the index of its image, and its index among the samples of that image.
        task: Of all samples.
        preprocessor: Turns samples into examples; all fit into the model.
        pad_id: Token id that pads conversations.
        batch_size: Conversations in a batch; the last one may have fewer.
    """

    def __init__(
        self,
        *,
        reader: ShardReader,
        entries: Sequence[tuple[int, int]],
        task: Task,
        preprocessor: SamplePreprocessor,
        pad_id: int,
        batch_size: int,
    ) -> None:
        self._reader, self._entries, self._task = reader, entries, task
        self._preprocessor, self._pad_id, self._batch_size = preprocessor, pad_id, batch_size

    def __len__(self) -> int:
        """Number of batches."""
        return math.ceil(len(self._entries) / self._batch_size)

    def __getitem__(self, index: int) -> Batch:
        """A batch; the wording of its questions is the same in every epoch.

        Raises:
            DataError: A shard is damaged.
        """
        first = index * self._batch_size
        examples = [
            self._preprocessor.preprocess([self._reader[image][sample_index]], epoch=0)
            for image, sample_index in self._entries[first : first + self._batch_size]
        ]
        batch = collate([example for example in examples if example], pad_id=self._pad_id)
        return replace(batch, task=self._task)


class GLaMMDataModule(LightningDataModule):
    """Batches of prepared shards.

    Args:
        shards: Folder that `glamm data prepare` wrote.
        model_config: Configuration of the model that gets the batches.
        tokenizer: Tokenizer of that model.
        config: How batches are made.
        seed: Decides the order of the samples and all random choices in their preprocessing.
        steps_per_epoch: Optimizer steps of an epoch.
        accumulation: Passes of an optimizer step.
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

    def train_dataloader(self) -> ResumableLoader:
        """Batches of the train split; Lightning saves its `state_dict` in checkpoints.

        Raises:
            DataError: The shards are damaged, or no text fits into the model.
        """
        reader = ShardReader(self._shards / "train")
        world_size = self.trainer.world_size if self.trainer else 1
        preprocessor = self._make_preprocessor(
            flip_probability=self._config.flip_probability,
            mask_side=self._config.mask_loss_max_side,
        )
        streams = list(fitting_streams(reader, preprocessor, reads_all=False))
        if reader.streams and not streams:
            raise DataError(
                f"no text fits into the {preprocessor.max_tokens} tokens that the model has for text: shorten the texts",
                file=reader.folder,
            )
        batches = TrainBatches(
            reader=reader,
            mixture=Mixture(
                streams,
                self._config.mixture,
                seed=self._seed,
                samples_per_step=self._config.batch_size * world_size * self._accumulation,
                length_bucket_steps=self._config.length_bucket_steps,
            ),
            preprocessor=preprocessor,
            pad_id=self._pad_id,
            config=self._config,
            accumulation=self._accumulation,
            rank=self.trainer.global_rank if self.trainer else 0,
            world_size=world_size,
        )
        per_epoch = self._steps_per_epoch * self._accumulation
        return ResumableLoader(batches, per_epoch=per_epoch, num_workers=self._config.num_workers)

    def val_dataloader(self) -> list[DataLoader[Batch]]:
        """For each task that the val split has, its samples in order; grounded conversations come first."""
        folder = self._shards / "val"
        if not folder.is_dir():
            return []
        reader = ShardReader(folder)
        preprocessor = self._make_preprocessor(flip_probability=0.0, mask_side=None)
        return [
            DataLoader(
                ValidationBatches(
                    reader=reader,
                    entries=entries,
                    task=task,
                    preprocessor=preprocessor,
                    pad_id=self._pad_id,
                    batch_size=self._config.batch_size,
                ),
                batch_size=None,
                num_workers=self._config.num_workers,
                collate_fn=_identity,
                worker_init_fn=_ignore_signals,
            )
            for task, entries in _entries_by_task(reader, preprocessor).items()
        ]

    def _make_preprocessor(
        self, *, flip_probability: float, mask_side: int | None
    ) -> SamplePreprocessor:
        return SamplePreprocessor(
            model_config=self._model_config,
            tokenizer=self._tokenizer,
            seed=self._seed,
            flip_probability=flip_probability,
            mask_side=mask_side,
        )


def _entries_by_task(
    reader: ShardReader, preprocessor: SamplePreprocessor
) -> dict[Task, list[tuple[int, int]]]:
    """For each task, index of the image and of the sample there of every sample that fits into the model."""
    found: dict[Task, list[tuple[int, int]]] = {task: [] for task in Task}
    for stream in fitting_streams(reader, preprocessor, reads_all=True):
        for image, sample_index, _ in stream.entries.tolist():
            found[reader[image][sample_index].task].append((image, sample_index))
    return {task: entries for task, entries in found.items() if entries}


def _ignore_signals(_worker: int) -> None:
    """A signal often reaches the whole process group, as Ctrl-C does; workers must live until the run has saved."""
    for number in SIGNALS:
        signal(number, SIG_IGN)


def _identity(batch: Any) -> Any:  # noqa: ANN401 - DataLoader's own type is no narrower
    return batch
