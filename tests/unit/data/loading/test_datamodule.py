from dataclasses import fields, replace

import pytest
import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from glamm.config.data import LoaderConfig, MixtureConfig
from glamm.config.model import ModelConfig
from glamm.data.loading.collate import SamplePreprocessor
from glamm.data.loading.datamodule import GLaMMDataModule, TrainBatches
from glamm.data.loading.sampler import Mixture
from glamm.data.shards.reader import ShardReader
from glamm.data.task_groups import GROUP_OF_TASK
from glamm.structures.sample import Task
from glamm.text.tokenizer import embedded_tokenizer
from tests.builders.data import ShardWriter, jpeg, referring, write_shards

TOKENIZER = embedded_tokenizer()
CONFIG = ModelConfig.tiny(vocab_size=len(TOKENIZER))
NAMES = {
    "talk": "gcg",
    "second": "gcg",
    "refer": "refseg",
    "region": "region_caption",
    "caption": "caption",
}


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shards")
    write_shards(folder / "train", range(12), shard_bytes=20_000)
    write_shards(folder / "val", range(20, 25), shard_bytes=20_000)
    return folder


def module(shards, *, steps_per_epoch=10, accumulation=1, seed=0, length_bucket_steps=4, **config):
    return GLaMMDataModule(
        shards,
        model_config=CONFIG,
        tokenizer=TOKENIZER,
        config=LoaderConfig(
            batch_size=3,
            length_bucket_steps=length_bucket_steps,
            **{"conversations_per_image": 1, "mixture": {"dataset_weights": {}}} | config,
        ),
        seed=seed,
        steps_per_epoch=steps_per_epoch,
        accumulation=accumulation,
    )


def same(one, two):
    assert one.sample_ids == two.sample_ids
    for item in fields(one):
        if item.name in ("sample_ids", "task"):
            continue
        torch.testing.assert_close(getattr(one, item.name), getattr(two, item.name), rtol=0, atol=0)
    return True


def group(batch):
    [found] = {GROUP_OF_TASK[Task(NAMES[name.rpartition("/")[2]])] for name in batch.sample_ids}
    return found


def ids(loader):
    return [batch.sample_ids for batch in loader]


def test_batch_has_one_task_group(shards):
    groups = [group(batch) for batch in module(shards, steps_per_epoch=60).train_dataloader()]

    assert len(set(groups)) == 4


@pytest.mark.slow
def test_batches_do_not_depend_on_the_number_of_workers(shards):
    without_workers = list(module(shards, num_workers=0).train_dataloader())
    with_workers = list(module(shards, num_workers=2).train_dataloader())

    assert len(without_workers) == len(with_workers) == 10
    assert all(same(one, two) for one, two in zip(without_workers, with_workers, strict=True))


@pytest.mark.parametrize(
    "stop", [1, 4, 10, 13], ids=["first", "within_an_epoch", "end_of_an_epoch", "second_epoch"]
)
def test_loader_resumes_where_its_state_was_saved(shards, stop):
    whole = module(shards).train_dataloader()
    expected = [*ids(whole), *ids(whole), *ids(whole)]
    first = module(shards).train_dataloader()
    seen = []
    while len(seen) < stop:
        for batch in first:
            seen.append(batch.sample_ids)
            if len(seen) == stop:
                state = first.state_dict()
                break

    second = module(shards).train_dataloader()
    second.load_state_dict(state)
    while len(seen) < 30:
        seen += ids(second)

    assert seen == expected


def test_epochs_of_the_run_differ(shards):
    loader = module(shards).train_dataloader()

    assert ids(loader) != ids(loader)


def test_passes_of_a_step_have_the_same_task_group(shards):
    groups = [
        group(batch)
        for batch in module(shards, steps_per_epoch=30, accumulation=4).train_dataloader()
    ]

    assert len(groups) == 120
    steps = [groups[first : first + 4] for first in range(0, 120, 4)]
    assert all(len(set(step)) == 1 for step in steps)
    assert len({step[0] for step in steps}) == 4


def test_two_devices_share_the_samples_of_one(shards):
    reader = ShardReader(shards / "train")
    preprocessor = SamplePreprocessor(
        model_config=CONFIG, tokenizer=TOKENIZER, seed=0, flip_probability=0.0
    )

    def batches(*, rank, world_size, batch_size):
        return TrainBatches(
            reader=reader,
            mixture=Mixture(
                reader.streams, MixtureConfig(dataset_weights={}), seed=0, samples_per_step=8
            ),
            preprocessor=preprocessor,
            pad_id=0,
            config=LoaderConfig(batch_size=batch_size, conversations_per_image=1),
            accumulation=1,
            rank=rank,
            world_size=world_size,
        )

    one = batches(rank=0, world_size=1, batch_size=8)
    two = [batches(rank=rank, world_size=2, batch_size=4) for rank in range(2)]

    for step in range(10):
        shared = [two[rank][step] for rank in range(2)]
        assert one[step].sample_ids == sum((batch.sample_ids for batch in shared), ())
        assert group(shared[0]) == group(shared[1])


def test_image_comes_with_further_conversations_of_its_task_group(shards):
    only = MixtureConfig(
        referring_segmentation=0,
        region_captioning=0,
        image_captioning=0,
        dataset_weights={},
    )

    batch = next(iter(module(shards, mixture=only, conversations_per_image=2).train_dataloader()))

    assert batch.image_index.tolist() == [0, 0, 1, 1, 2, 2]
    assert len(batch.global_pixels) == 3


def test_validation_is_every_sample_once_by_task(shards):
    loaders = module(shards).val_dataloader()

    names = [[name for batch in loader for name in batch.sample_ids] for loader in loaders]

    assert [{batch.task for batch in loader} for loader in loaders] == [
        {Task.GROUNDED_CONVERSATION},
        {Task.REFERRING_SEGMENTATION},
        {Task.REGION_CAPTIONING},
        {Task.IMAGE_CAPTIONING},
    ]
    assert [len(loader) for loader in loaders] == [4, 2, 2, 2]
    assert [len(set(found)) for found in names] == [len(found) for found in names] == [10, 5, 5, 5]
    assert names == [ids_of(loader) for loader in module(shards, seed=0).val_dataloader()]


def ids_of(loader):
    return [name for batch in loader for name in batch.sample_ids]


def test_tasks_of_one_group_are_validated_apart(tmp_path):
    writer = ShardWriter(tmp_path / "val", shard_bytes=1 << 20)
    for seed in range(4):
        task = Task.SEMANTIC_SEGMENTATION if seed % 2 else Task.REFERRING_SEGMENTATION
        writer.add((replace(referring(seed=seed), task=task),), jpeg(seed=seed))
    writer.close()

    loaders = module(tmp_path).val_dataloader()

    assert [ids_of(loader) for loader in loaders] == [
        ["toy/train/0/refer", "toy/train/2/refer"],
        ["toy/train/1/refer", "toy/train/3/refer"],
    ]


def test_validation_without_a_split_is_empty(shards, tmp_path):
    (tmp_path / "train").symlink_to(shards / "train")

    assert module(tmp_path).val_dataloader() == []


def test_validation_of_an_empty_split_is_empty(tmp_path):
    write_shards(tmp_path / "val", [])

    assert module(tmp_path).val_dataloader() == []


class Recorder(LightningModule):
    """Records the samples that it trains on."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen = []

    def transfer_batch_to_device(self, batch, *_):
        return batch

    def training_step(self, batch, _):
        self.seen.append(batch.sample_ids)
        return self.weight**2

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(shards, folder, *, max_steps, checkpoint=None):
    recorder = Recorder()
    trainer = Trainer(
        max_steps=max_steps,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        callbacks=[
            ModelCheckpoint(folder, every_n_train_steps=1, save_top_k=-1, filename="{step}")
        ],
    )
    trainer.fit(recorder, datamodule=module(shards, steps_per_epoch=5), ckpt_path=checkpoint)
    return recorder.seen


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore:.*isinstance.treespec:FutureWarning")
@pytest.mark.parametrize(
    "stop", [3, 5, 7], ids=["within_an_epoch", "end_of_an_epoch", "second_epoch"]
)
def test_trainer_resumes_with_the_next_batch(shards, tmp_path, stop):
    whole = fit(shards, tmp_path / "whole", max_steps=12)

    before = fit(shards, tmp_path / "part", max_steps=stop)
    after = fit(
        shards, tmp_path / "part", max_steps=12, checkpoint=tmp_path / f"part/step={stop}.ckpt"
    )

    assert len(whole) == 12
    assert before + after == whole
