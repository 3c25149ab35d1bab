"""Encoders that stand still run once an image."""

import pytest
import torch
from pydantic import ValidationError

from glamm.errors import ConfigError
from glamm.models.glamm import GLaMM
from glamm.training.frozen_encoder_cache import remember_frozen_encoders
from glamm.training.joint import JointModule
from tests.builders.models import CONFIG, SEG, build_batch
from tests.builders.training import train_config

FROZEN = {"optimizer": {"encoder_lr_scale": 0}}


def make_module(**values) -> JointModule:
    torch.manual_seed(0)
    return JointModule(GLaMM.from_config(CONFIG), config=train_config(**values)).train()


def count_runs(module: JointModule) -> dict[str, int]:
    """How many images each encoder's first layer has seen, kept up to date."""
    runs = {"global": 0, "grounding": 0}

    def counter(name):
        def add(_module, inputs):
            runs[name] += len(inputs[0])

        return add

    model = module.model
    model.global_encoder.clip.encoder.layers[0].register_forward_pre_hook(counter("global"))
    model.grounding_encoder.vit.patch_embed.register_forward_pre_hook(counter("grounding"))
    return runs


def learn(module: JointModule):
    batch = build_batch([[7, 8, SEG, 2], [7, 9, SEG, 2]], image_index=[0, 1], num_masks=[1, 1])
    return module.training_step(batch, 0)["loss"]


def test_image_that_comes_again_is_not_encoded_again():
    module = make_module(**FROZEN, encoder_cache_mebibytes=64)
    runs = count_runs(module)

    first, second = learn(module), learn(module)

    assert runs == {"global": 2, "grounding": 2}
    assert torch.equal(first, second)


def test_kept_outputs_teach_the_same():
    gradients = []
    for size in (0, 64):
        module = make_module(**FROZEN, encoder_cache_mebibytes=size)
        learn(module)
        learn(module).backward()
        gradients.append(
            {name: one.grad for name, one in module.named_parameters() if one.grad is not None}
        )

    fresh, kept = gradients
    assert fresh.keys() == kept.keys()
    for name, gradient in fresh.items():
        torch.testing.assert_close(kept[name], gradient, msg=name)


def test_what_a_run_that_goes_on_sees_does_not_depend_on_what_was_kept():
    going_on = make_module(**FROZEN, encoder_cache_mebibytes=64)
    learn(going_on)
    fresh = make_module(**FROZEN, encoder_cache_mebibytes=64)

    assert torch.equal(learn(going_on), learn(fresh))


def test_memory_has_a_bound():
    module = make_module(**FROZEN)
    expected = learn(module)

    kept = remember_frozen_encoders(module.model, max_bytes=100_000)

    for _ in range(3):
        torch.testing.assert_close(learn(module), expected)
    assert 0 < kept.num_bytes <= 100_000
    assert len(kept) < 4


def test_encoders_that_are_trained_keep_nothing():
    with pytest.raises(ConfigError, match=r"encoder_cache_mebibytes: both image encoders"):
        make_module(encoder_cache_mebibytes=64)


def test_only_the_encoder_that_stands_still_keeps_something():
    module = make_module(trainable=["grounding_encoder.*"], encoder_cache_mebibytes=64)
    runs = count_runs(module)

    learn(module)
    learn(module)

    assert runs == {"global": 2, "grounding": 4}


def test_sharded_encoders_are_refused():
    with pytest.raises(ValidationError, match="fsdp2 shards them"):
        train_config(strategy="fsdp2", encoder_cache_mebibytes=64)
