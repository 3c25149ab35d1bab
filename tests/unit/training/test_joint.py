"""What is trained, and what of it a checkpoint holds."""

import pytest
import torch
from torch import nn

from glamm.errors import CheckpointError, ConfigError
from glamm.models.glamm import GLaMM
from glamm.training.base_module import seed_pass
from glamm.training.joint import JointModule
from tests.builders.models import CONFIG, build_batch
from tests.builders.training import train_config

LORA = {"rank": 2, "alpha": 4, "dropout": 0.5}


def make_module(**values) -> JointModule:
    torch.manual_seed(0)
    return JointModule(GLaMM.from_config(CONFIG), config=train_config(**values))


def trained_parts(module: JointModule) -> set[str]:
    return {
        ".".join(name.split(".")[:3]) if name.startswith("language_model") else name.split(".")[0]
        for name, parameter in module.model.named_parameters()
        if parameter.requires_grad
    }


def test_everything_is_trained_unless_something_else_is_said():
    assert all(parameter.requires_grad for parameter in make_module().parameters())


def test_patterns_say_all_that_is_trained():
    module = make_module(trainable=["mask_decoder.*", "language_model.lm_head.weight"])

    assert trained_parts(module) == {"mask_decoder", "language_model.lm_head.weight"}


def test_adapters_alone_hold_only_the_language_model_still():
    module = make_module(lora=LORA)

    names = [name for name, one in module.model.named_parameters() if one.requires_grad]
    of_language = [name for name in names if name.startswith("language_model")]
    assert of_language
    assert all("lora_" in name for name in of_language)
    assert any(name.startswith("grounding_encoder") for name in names)


def test_patterns_name_weights_beside_adapters_as_if_there_were_none():
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


def test_checkpoint_holds_what_is_trained_and_buffers():
    module = make_module(lora=LORA, trainable=["mask_decoder.*"])
    checkpoint = {"state_dict": module.state_dict()}

    module.on_save_checkpoint(checkpoint)

    kept = set(checkpoint["state_dict"]) - {name for name, _ in module.named_buffers()}
    assert kept == {name for name, one in module.named_parameters() if one.requires_grad}
    module.on_load_checkpoint(checkpoint)


def test_checkpoint_without_a_trained_part_is_refused():
    module = make_module(trainable=["mask_decoder.*"])
    checkpoint = {"state_dict": {}}

    with pytest.raises(CheckpointError, match=r"has no model\.mask_decoder\.iou_prediction_head"):
        module.on_load_checkpoint(checkpoint)


def test_pass_is_random_by_its_number_and_device_alone():
    def draw(number, rank):
        seed_pass(3, number=number, rank=rank)
        return nn.functional.dropout(torch.ones(64)).tolist()

    first = draw(5, 0)
    torch.rand(100)

    assert draw(5, 0) == first
    assert draw(6, 0) != first
    assert draw(5, 1) != first


def test_recomputed_activations_give_the_same_gradients():

    gradients = []
    for is_recomputed in (False, True):
        module = make_module(lora=LORA, activation_checkpointing=is_recomputed).train()
        seed_pass(0, number=0, rank=0)
        batch = build_batch([[7, 8, 2]], image_index=[0])
        module.training_step(batch, 0)["loss"].backward()
        gradients.append(
            {name: one.grad for name, one in module.named_parameters() if one.grad is not None}
        )

    kept, recomputed = gradients
    assert kept.keys() == recomputed.keys()
    assert any("lora_A" in name for name in kept)
    for name, gradient in kept.items():
        torch.testing.assert_close(recomputed[name], gradient)
