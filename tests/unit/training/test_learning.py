"""Every phase can memorize a few images, with the modules that a run uses."""

from dataclasses import replace

import pytest
import torch

from glamm.data.loading.datamodule import GLaMMDataModule
from glamm.data.shards.reader import ShardReader
from glamm.errors import DataError
from glamm.training.global_encoder import GlobalEncoderModule, PatchBatches, read_vocabulary
from glamm.training.grounding import GroundingModule, PromptBatches
from glamm.training.initialization import initialize_model
from glamm.training.joint import GLaMMModule, mask_overlaps
from tests.builders.training import train_config

STEPS = 30


def train_on(module, batch):
    """The loss before and after some steps on one batch."""
    optimizer = torch.optim.AdamW(module.parameters(), lr=3e-3)
    losses = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = module.compute_losses(batch)["loss"]
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses[0], losses[-1]


def initialize(micro, **values):
    torch.manual_seed(0)
    config = train_config(init_from=str(micro), **values)
    return config, initialize_model(config)


@pytest.mark.slow
def test_joint_phase_learns_text_and_masks(shards, micro):
    config, initial = initialize(micro)
    data = GLaMMDataModule(
        shards,
        model_config=initial.model.config,
        tokenizer=initial.tokenizer,
        config=config.loader,
        seed=0,
        steps_per_epoch=1,
    )
    batch = next(iter(data.val_dataloader()[0]))
    module = GLaMMModule(initial.model, config=config)

    before, after = train_on(module, batch)

    assert after < 0.6 * before
    with torch.no_grad():
        ratios = module.evaluate(batch).ratios
    assert ratios["val_loss"].total < before
    assert 0.0 <= ratios["val_giou"].total <= ratios["val_giou"].count


def test_grounding_phase_learns_masks(shards, micro):
    config, initial = initialize(micro, phase="grounding")
    batches = PromptBatches(ShardReader(shards / "train"), config, side=32)
    module = GroundingModule(initial.model, config=config)

    before, after = train_on(module, batches[0])

    assert after < 0.8 * before


def test_global_encoder_phase_learns_words_of_patches(shards, micro):
    config, initial = initialize(micro, phase="global_encoder")
    reader = ShardReader(shards / "train")
    vocabulary = read_vocabulary(reader)
    encoder = initial.model.config.global_encoder
    batches = PatchBatches(
        reader,
        config,
        vocabulary=vocabulary,
        side=encoder.image_size,
        grid_size=encoder.grid_size,
    )
    module = GlobalEncoderModule(initial.model, vocabulary=vocabulary, config=config)

    before, after = train_on(module, batches[0])

    assert after < 0.8 * before


def test_point_prompts_are_inside_their_masks(shards, micro):
    config = train_config(phase="grounding", loader={"batch_size": 8})

    batch = PromptBatches(ShardReader(shards / "train"), config, side=32)[3]

    assert batch.num_samples == 8
    for points, truths in zip(batch.points, batch.masks, strict=True):
        for (x, y), truth in zip(points.long().tolist(), truths, strict=True):
            assert truth[y, x]


def test_batches_are_a_function_of_index_and_rank(shards):
    config = train_config(phase="grounding")
    reader = ShardReader(shards / "train")
    first, again, other = (
        PromptBatches(reader, config, side=32, rank=rank)[5].pixels for rank in (0, 0, 1)
    )

    assert torch.equal(first, again)
    assert not torch.equal(first, other)


class _WithoutObjects(ShardReader):
    def __getitem__(self, row):
        return tuple(replace(sample, objects=()) for sample in super().__getitem__(row))


def test_grounding_phase_refuses_data_without_masks(shards):
    reader = _WithoutObjects(shards / "train")
    batches = PromptBatches(reader, train_config(phase="grounding"), side=32)

    with pytest.raises(DataError, match="needs a data set with masks"):
        batches[0]


def test_overlaps_count_pixels_of_every_pair():
    logits = torch.tensor([[[1.0, 1.0], [-1.0, 0.0]]])
    truth = torch.tensor([[[True, False], [True, False]]])

    intersections, unions = mask_overlaps((logits, logits[:0]), (truth, truth[:0]))

    assert (intersections.tolist(), unions.tolist()) == ([1], [3])
