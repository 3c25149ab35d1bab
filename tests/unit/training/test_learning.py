"""Every stage learns a handful of images by heart, through the same modules that a run uses."""

from dataclasses import replace

import pytest
import torch

from glamm.data.loading.datamodule import GLaMMDataModule
from glamm.data.shards.reader import ShardReader
from glamm.errors import DataError
from glamm.training.global_encoder import GlobalEncoderModule, PatchBatches, read_vocabulary
from glamm.training.grounding import GroundingModule, PromptBatches
from glamm.training.initialization import make_start
from glamm.training.joint import JointModule, mask_overlaps
from tests.builders.training import train_config

STEPS = 30


def learn(module, batch):
    """Loss before and after some steps on one batch."""
    optimizer = torch.optim.AdamW(module.parameters(), lr=3e-3)
    losses = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = module.training_step(batch, 0)["loss"]
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses[0], losses[-1]


def start_of(micro, **values):
    torch.manual_seed(0)
    config = train_config(init_from=str(micro), **values)
    return config, make_start(config)


@pytest.mark.slow
def test_joint_stage_learns_words_and_masks(shards, micro):
    config, start = start_of(micro)
    data = GLaMMDataModule(
        shards,
        model_config=start.model.config,
        tokenizer=start.tokenizer,
        config=config.loader,
        seed=0,
        steps_per_epoch=1,
    )
    batch = next(iter(data.val_dataloader()))
    module = JointModule(start.model, config=config)

    before, after = learn(module, batch)

    assert after < 0.6 * before
    with torch.no_grad():
        values = {name: ratio.value for name, ratio in module.validation_step(batch, 0).items()}
    assert values["val_loss"] < before
    assert 0.0 <= values["val_giou"] <= 1.0


def test_grounding_stage_learns_masks(shards, micro):
    config, start = start_of(micro, phase="grounding")
    batches = PromptBatches(ShardReader(shards / "train"), config, side=32)
    module = GroundingModule(start.model, config=config)

    before, after = learn(module, batches[0])

    assert after < 0.8 * before


def test_global_encoder_stage_learns_words_of_patches(shards, micro):
    config, start = start_of(micro, phase="global_encoder")
    reader = ShardReader(shards / "train")
    vocabulary = read_vocabulary(reader)
    encoder = start.model.config.global_encoder
    batches = PatchBatches(
        reader,
        config,
        vocabulary=vocabulary,
        side=encoder.image_size,
        grid_size=encoder.grid_size,
    )
    module = GlobalEncoderModule(start.model, vocabulary=vocabulary, config=config)

    before, after = learn(module, batches[0])

    assert after < 0.8 * before


def test_prompts_lie_in_their_masks(shards, micro):
    config = train_config(phase="grounding", loader={"batch_size": 8})

    batch = PromptBatches(ShardReader(shards / "train"), config, side=32)[3]

    assert batch.num_samples == 8
    for points, truths in zip(batch.points, batch.masks, strict=True):
        for (x, y), truth in zip(points.long().tolist(), truths, strict=True):
            assert truth[y, x]


def test_batches_are_a_function_of_number_and_process(shards):
    config = train_config(phase="grounding")
    reader = ShardReader(shards / "train")
    first, again, other = (
        PromptBatches(reader, config, side=32, rank=rank)[5].pixels for rank in (0, 0, 1)
    )

    assert torch.equal(first, again)
    assert not torch.equal(first, other)


class _OnlyWords(ShardReader):
    def __getitem__(self, row):
        return tuple(replace(sample, objects=()) for sample in super().__getitem__(row))


def test_grounding_stage_refuses_data_without_masks(shards):
    reader = _OnlyWords(shards / "train")
    batches = PromptBatches(reader, train_config(phase="grounding"), side=32)

    with pytest.raises(DataError, match="needs a data set with masks"):
        batches[0]


def test_overlaps_count_pixels_of_every_pair():
    logits = torch.tensor([[[1.0, 1.0], [-1.0, 0.0]]])
    truth = torch.tensor([[[True, False], [True, False]]])

    intersections, unions = mask_overlaps((logits, logits[:0]), (truth, truth[:0]))

    assert (intersections.tolist(), unions.tolist()) == ([1], [3])
