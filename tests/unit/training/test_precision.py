"""Types of the weights before, during and after training."""

import pytest
import torch
from safetensors.torch import load_file

from glamm.checkpoints.store import load_model
from glamm.training.initialization import initialize_model
from glamm.training.joint import GLaMMModule
from glamm.training.precision import initial_dtype
from glamm.training.run import train
from tests.builders.training import train_config

TRAINED = {
    "lora": {"rank": 2, "alpha": 4, "dropout": 0.0},
    "trainable": ["mask_decoder.*", "language_model.model.embed_tokens.*"],
}


@pytest.mark.parametrize(
    ("stored", "precision", "expected"),
    [
        (torch.float32, "32-true", torch.float32),
        (torch.bfloat16, "32-true", torch.float32),
        (torch.float32, "bf16-mixed", torch.float32),
        (torch.bfloat16, "bf16-mixed", torch.bfloat16),
        (torch.float16, "bf16-mixed", torch.bfloat16),
    ],
    ids=str,
)
def test_type_of_the_initial_weights(stored, precision, expected):
    assert initial_dtype(stored, precision) == expected


def test_trained_weights_are_float32_beside_frozen_ones_in_16_bits(micro_bf16):
    config = train_config(init_from=str(micro_bf16), precision="bf16-mixed", **TRAINED)
    module = GLaMMModule(initialize_model(config).model, config=config)

    module.configure_model()

    for name, parameter in module.named_parameters():
        expected = torch.float32 if parameter.requires_grad else torch.bfloat16
        assert parameter.dtype == expected, name


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_model_is_written_in_the_type_in_which_it_was_read(
    shards, micro_bf16, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    config = train_config(
        init_from=str(micro_bf16),
        precision="bf16-mixed",
        max_steps=2,
        # changes large enough not to vanish in 16 bits
        optimizer={"learning_rate": 0.1, "warmup_steps": 0},
        **TRAINED,
    )

    metrics = train(shards, tmp_path / "out", config)

    assert metrics["loss"] > 0
    before = load_file(micro_bf16 / "model.safetensors")
    after = load_file(tmp_path / "out/model.safetensors")
    parameters = [name for name, _ in load_model(tmp_path / "out")[0].named_parameters()]
    assert {after[name].dtype for name in parameters} == {torch.bfloat16}
    changed = {name for name, value in after.items() if not value.equal(before[name])}
    assert {name.split(".")[0] for name in changed} == {"language_model", "mask_decoder"}
    layers = {name for name in changed if name.startswith("language_model.model.layers.")}
    assert layers
    assert all(name.endswith(("q_proj.weight", "v_proj.weight")) for name in layers)
