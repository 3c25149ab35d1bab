"""The memory that a run needs, against the tensors that it really holds."""

import logging

import pytest
import torch

from glamm.config.model import ModelConfig
from glamm.errors import HostError
from glamm.training.initialization import initialize_model
from glamm.training.joint import GLaMMModule
from glamm.training.memory import estimate_memory
from tests.builders.training import micro_config, train_config

ADAPTERS = {
    "lora": {"rank": 2, "alpha": 4, "dropout": 0.0},
    "trainable": ["mask_decoder.*"],
    "precision": "bf16-mixed",
}


def tensor_bytes(tensors) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


@pytest.mark.parametrize("values", [{}, ADAPTERS], ids=["everything", "adapters"])
def test_estimate_equals_what_is_held_after_a_step(micro_bf16, values):
    config = train_config(init_from=str(micro_bf16), **values)
    module = GLaMMModule(initialize_model(config).model, config=config)
    module.configure_model()
    optimizer = module.configure_optimizers()["optimizer"]
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()

    need = estimate_memory(micro_config(), config, stored=torch.bfloat16)

    assert need.weights == tensor_bytes(module.parameters())
    assert need.gradients == tensor_bytes(parameter.grad for parameter in trained)
    means = [
        value for state in optimizer.state.values() for key, value in state.items() if key != "step"
    ]
    assert need.optimizer_states == tensor_bytes(means)


def test_7b_recipe_needs_its_weights_once():
    config = train_config(
        precision="bf16-mixed",
        lora={"rank": 8, "alpha": 16, "dropout": 0.05},
        trainable=["text_to_mask_projector.*", "mask_decoder.*"],
        optimizer={"encoder_lr_scale": 0},
    )

    need = estimate_memory(ModelConfig.seven_b(vocab_size=32_007), config, stored=torch.float16)

    assert need.total == pytest.approx(2 * need.num_parameters, rel=0.03)
    assert 8.0e9 < need.num_parameters < 8.1e9


def test_need_is_stated_before_the_model_is_loaded(micro, caplog, monkeypatch):
    monkeypatch.setattr("glamm.training.initialization.load_model", None)
    with caplog.at_level(logging.INFO), pytest.raises(TypeError):
        initialize_model(train_config(init_from=str(micro)))

    assert "of optimizer states; activations come on top" in caplog.text


def test_machine_without_the_memory_is_refused(micro, monkeypatch):
    class FullMachine:
        available = 1000

    monkeypatch.setattr("psutil.virtual_memory", FullMachine)

    with pytest.raises(HostError, match=r"training needs .* the machine has 0\.0 GiB available"):
        initialize_model(train_config(init_from=str(micro)))
