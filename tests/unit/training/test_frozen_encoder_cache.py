"""Frozen encoders run once per image."""

import pytest
import torch

from glamm.errors import ConfigError
from glamm.models.glamm import GLaMM
from glamm.training.frozen_encoder_cache import cache_frozen_encoders
from glamm.training.joint import GLaMMModule
from tests.builders.models import CONFIG, SEG, build_batch
from tests.builders.training import train_config

FROZEN = {"optimizer": {"encoder_lr_scale": 0}}


def make_module(**values) -> GLaMMModule:
    torch.manual_seed(0)
    return GLaMMModule(GLaMM.from_config(CONFIG), config=train_config(**values)).train()


def count_runs(module: GLaMMModule) -> dict[str, int]:
    """Number of images that each encoder's first layer has processed so far."""
    runs = {"global": 0, "grounding": 0}

    def counter(name):
        def add(_module, inputs):
            runs[name] += len(inputs[0])

        return add

    model = module.model
    model.global_encoder.clip.encoder.layers[0].register_forward_pre_hook(counter("global"))
    model.grounding_encoder.vit.patch_embed.register_forward_pre_hook(counter("grounding"))
    return runs


def compute_loss(module: GLaMMModule):
    batch = build_batch([[7, 8, SEG, 2], [7, 9, SEG, 2]], image_index=[0, 1], num_masks=[1, 1])
    return module.compute_losses(batch)["loss"]


def test_repeated_image_is_not_encoded_again():
    module = make_module(**FROZEN, encoder_cache_mebibytes=64)
    runs = count_runs(module)

    first, second = compute_loss(module), compute_loss(module)

    assert runs == {"global": 2, "grounding": 2}
    assert torch.equal(first, second)


def test_cached_outputs_give_the_same_gradients():
    gradients = []
    for size in (0, 64):
        module = make_module(**FROZEN, encoder_cache_mebibytes=size)
        compute_loss(module)
        compute_loss(module).backward()
        gradients.append(
            {
                name: parameter.grad
                for name, parameter in module.named_parameters()
                if parameter.grad is not None
            }
        )

    without, cached = gradients
    assert without.keys() == cached.keys()
    for name, gradient in without.items():
        torch.testing.assert_close(cached[name], gradient, msg=name)


def test_outputs_of_a_resumed_run_do_not_depend_on_the_cache():
    continued = make_module(**FROZEN, encoder_cache_mebibytes=64)
    compute_loss(continued)
    fresh = make_module(**FROZEN, encoder_cache_mebibytes=64)

    assert torch.equal(compute_loss(continued), compute_loss(fresh))


def test_cache_is_bounded():
    module = make_module(**FROZEN)
    expected = compute_loss(module)

    cache = cache_frozen_encoders(module.model, max_bytes=100_000)

    for _ in range(3):
        torch.testing.assert_close(compute_loss(module), expected)
    assert 0 < cache.currsize <= 100_000
    assert len(cache) < 4


def test_trained_encoders_cannot_be_cached():
    with pytest.raises(ConfigError, match=r"encoder_cache_mebibytes: both image encoders"):
        make_module(encoder_cache_mebibytes=64)


def test_only_the_frozen_encoder_is_cached():
    module = make_module(trainable=["grounding_encoder.*"], encoder_cache_mebibytes=64)
    runs = count_runs(module)

    compute_loss(module)
    compute_loss(module)

    assert runs == {"global": 2, "grounding": 4}
