"""Which parameters are trained, and which of them a checkpoint has."""

import pytest
import torch

from glamm.errors import CheckpointError, ConfigError
from glamm.models.glamm import GLaMM
from glamm.training.base_module import seed_pass
from glamm.training.joint import GLaMMModule
from tests.builders.models import CONFIG, build_batch
from tests.builders.training import train_config

LORA = {"rank": 2, "alpha": 4, "dropout": 0.5}


def make_module(**values) -> GLaMMModule:
    torch.manual_seed(0)
    return GLaMMModule(GLaMM.from_config(CONFIG), config=train_config(**values))


def trained_parts(module: GLaMMModule) -> set[str]:
    return {
        ".".join(name.split(".")[:3]) if name.startswith("language_model") else name.split(".")[0]
        for name, parameter in module.model.named_parameters()
        if parameter.requires_grad
    }


def test_everything_is_trained_by_default():
    assert all(parameter.requires_grad for parameter in make_module().parameters())


def test_only_parameters_that_match_a_pattern_are_trained():
    module = make_module(trainable=["mask_decoder.*", "language_model.lm_head.weight"])

    assert trained_parts(module) == {"mask_decoder", "language_model.lm_head.weight"}


def test_adapters_freeze_only_the_language_model():
    module = make_module(lora=LORA)

    names = [name for name, parameter in module.model.named_parameters() if parameter.requires_grad]
    of_language = [name for name in names if name.startswith("language_model")]
    assert of_language
    assert all("lora_" in name for name in of_language)
    assert any(name.startswith("grounding_encoder") for name in names)


def test_patterns_match_names_without_adapters():
    pattern = "language_model.model.layers.0.self_attn.q_proj.weight"
    module = make_module(lora=LORA, trainable=[pattern])

    named = [
        name
        for name, parameter in module.model.named_parameters()
        if parameter.requires_grad and "lora_" not in name
    ]
    assert named == ["language_model.model.layers.0.self_attn.q_proj.base_layer.weight"]


def test_pattern_without_a_match_is_refused():
    with pytest.raises(
        ConfigError, match=r"train\.trainable: maskdecoder\.\* matches no parameter"
    ):
        make_module(trainable=["maskdecoder.*"])


def test_checkpoint_has_trained_parameters_and_buffers():
    module = make_module(lora=LORA, trainable=["mask_decoder.*"])
    checkpoint = {"state_dict": module.state_dict()}

    module.on_save_checkpoint(checkpoint)

    kept = set(checkpoint["state_dict"]) - {name for name, _ in module.named_buffers()}
    assert kept == {
        name for name, parameter in module.named_parameters() if parameter.requires_grad
    }
    module.on_load_checkpoint(checkpoint)


def test_checkpoint_without_a_trained_parameter_is_refused():
    module = make_module(trainable=["mask_decoder.*"])
    checkpoint = {"state_dict": {}}

    with pytest.raises(CheckpointError, match=r"has no model\.mask_decoder\.iou_prediction_head"):
        module.on_load_checkpoint(checkpoint)


def test_recomputed_activations_give_the_same_gradients():

    gradients = []
    for is_recomputed in (False, True):
        module = make_module(lora=LORA, activation_checkpointing=is_recomputed).train()
        seed_pass(0, index=0, rank=0)
        batch = build_batch([[7, 8, 2]], image_index=[0])
        module.compute_losses(batch)["loss"].backward()
        gradients.append(
            {
                name: parameter.grad
                for name, parameter in module.named_parameters()
                if parameter.grad is not None
            }
        )

    kept, recomputed = gradients
    assert kept.keys() == recomputed.keys()
    assert any("lora_A" in name for name in kept)
    for name, gradient in kept.items():
        torch.testing.assert_close(recomputed[name], gradient)
