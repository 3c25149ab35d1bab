"""Configurations as people have them: what transformers computes with them is what our model computes."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from glamm.config.language import LanguageModelConfig
from glamm.errors import CheckpointError
from glamm.models.language.causal import build_language_model
from glamm.models.language.foreign_config import to_language_config
from glamm.models.language.pretrained import read_language_config

SIZES = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "tie_word_embeddings": False,
}
LLAMA_3 = {
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
LONGROPE = {
    "short_factor": [1.0, 1.1, 1.2, 1.3],
    "long_factor": [2, 3, 4, 5],
    "original_max_position_embeddings": 64,
}
HONORED: dict[str, tuple[str, dict[str, Any]]] = {
    "theta of transformers 4": ("llama", {"rope_theta": 500_000}),
    "theta of transformers 5": (
        "llama",
        {"rope_parameters": {"rope_type": "default", "rope_theta": 250_000.0}},
    ),
    "linear, by type": ("llama", {"rope_scaling": {"type": "linear", "factor": 4.0}}),
    "linear, by rope_type": ("qwen2", {"rope_scaling": {"rope_type": "linear", "factor": 2}}),
    "linear, nested": (
        "llama",
        {"rope_parameters": {"rope_type": "linear", "factor": 3.0, "rope_theta": 1e5}},
    ),
    "dynamic": ("llama", {"rope_scaling": {"type": "dynamic", "factor": 2.0}}),
    "llama 3": ("llama", {"rope_theta": 5e5, "rope_scaling": {"rope_type": "llama3", **LLAMA_3}}),
    "yarn": (
        "qwen2",
        {
            "rope_theta": 1e6,
            "rope_scaling": {
                "type": "yarn",
                "factor": 4.0,
                "original_max_position_embeddings": 32,
                "finetuned": True,
            },
        },
    ),
    "yarn with everything": (
        "qwen3",
        {
            "head_dim": 16,
            "rope_parameters": {
                "rope_type": "yarn",
                "rope_theta": 1e6,
                "factor": 4.0,
                "original_max_position_embeddings": 32,
                "beta_fast": 16,
                "beta_slow": 2,
                "mscale": 1.0,
                "mscale_all_dim": 0.5,
                "truncate": False,
            },
        },
    ),
    "yarn without a factor": (
        "llama",
        {
            "rope_scaling": {
                "type": "yarn",
                "factor": None,
                "original_max_position_embeddings": 32,
            }
        },
    ),
    "yarn with an attention factor": (
        "llama",
        {
            "rope_scaling": {
                "type": "yarn",
                "factor": 4.0,
                "original_max_position_embeddings": 32,
                "attention_factor": 1.5,
            }
        },
    ),
    "longrope": ("llama", {"rope_scaling": {"type": "longrope", **LONGROPE}}),
    "longrope, length beside": (
        "llama",
        {
            "original_max_position_embeddings": 64,
            "rope_scaling": {
                "type": "longrope",
                "short_factor": LONGROPE["short_factor"],
                "long_factor": LONGROPE["long_factor"],
            },
        },
    ),
    "biases": ("llama", {"attention_bias": True, "mlp_bias": True}),
    "bias of Qwen 3": ("qwen3", {"head_dim": 8, "attention_bias": True}),
    "activation": ("llama", {"hidden_act": "gelu_pytorch_tanh"}),
    "epsilon": ("llama", {"rms_norm_eps": 0.01}),
    "head_dim": ("llama", {"head_dim": 12}),
    "tied": ("qwen2", {"tie_word_embeddings": True}),
    "window without effect": ("qwen2", {"sliding_window": 4, "use_sliding_window": False}),
    "window above the last layer": (
        "qwen2",
        {"sliding_window": 4, "use_sliding_window": True, "max_window_layers": 2},
    ),
    "split products": ("llama", {"pretraining_tp": 2}),
}
REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "family": ("gpt2", {}, "type gpt2 are not supported; supported are llama, qwen2, qwen3"),
    "scaling": ("llama", {"rope_scaling": {"type": "ntk", "factor": 2.0}}, "rope_type 'ntk'"),
    "part of a head": ("llama", {"partial_rotary_factor": 0.5}, "partial_rotary_factor 0.5"),
    "scaling of images": (
        "qwen2",
        {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [1, 1]}},
        r"mrope_section \[1, 1\]",
    ),
    "factors": (
        "llama",
        {"rope_scaling": {"type": "longrope", **LONGROPE, "short_factor": [1.0]}},
        "short_factor has 1 values for 4 frequencies",
    ),
    "window": (
        "qwen2",
        {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 1},
        "use_sliding_window True, sliding_window 4",
    ),
    "layer types": (
        "qwen3",
        {
            "head_dim": 8,
            "use_sliding_window": True,
            "sliding_window": 4,
            "layer_types": ["sliding_attention", "full_attention"],
        },
        "sliding_attention",
    ),
    "activation": ("llama", {"hidden_act": "swoosh"}, "hidden_act 'swoosh'"),
    "quantized": (
        "llama",
        {"quantization_config": {"quant_method": "gptq", "bits": 4}},
        "quantization_config .*gptq",
    ),
}


def write_config(folder: Path, family: str, changes: dict[str, Any]) -> Path:
    """Write a config.json by hand, as it is found in a folder."""
    folder.mkdir(exist_ok=True)
    values = {"model_type": family, **SIZES, **changes}
    (folder / "config.json").write_text(json.dumps(values))
    return folder


@pytest.mark.parametrize(("family", "changes"), HONORED.values(), ids=HONORED)
@pytest.mark.parametrize(
    "positions", [range(16), range(0, 128, 8)], ids=["near positions", "far positions"]
)
def test_model_computes_what_transformers_computes_with_the_same_file(
    family: str, changes: dict[str, Any], positions: range, tmp_path: Path
) -> None:
    folder = write_config(tmp_path, family, changes)
    torch.manual_seed(0)
    theirs = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder)).eval()

    config = read_language_config(folder)
    again = LanguageModelConfig.model_validate_json(config.model_dump_json())
    ours = build_language_model(again, eos_token_id=2).eval()
    ours.load_state_dict(theirs.state_dict())

    assert again == config
    ids = torch.arange(len(positions))[None]
    where = torch.tensor([list(positions)])
    with torch.no_grad():
        expected = theirs(ids, position_ids=where).logits
        assert torch.equal(ours(ids, position_ids=where).logits, expected)


@pytest.mark.parametrize("name", ["linear, by type", "yarn", "longrope", "llama 3", "epsilon"])
def test_honored_keys_change_the_result(name: str, tmp_path: Path) -> None:
    """Without this, the test above would pass for keys that nobody reads."""
    family, changes = HONORED[name]
    models = []
    for folder in (
        write_config(tmp_path / "with", family, changes),
        write_config(tmp_path / "without", family, {}),
    ):
        torch.manual_seed(0)
        models.append(build_language_model(read_language_config(folder), eos_token_id=2).eval())
    models[1].load_state_dict(models[0].state_dict())
    ids, where = torch.arange(8)[None], torch.arange(0, 128, 16)[None]
    with torch.no_grad():
        first, second = (model(ids, position_ids=where).logits for model in models)
    assert not torch.allclose(first, second, atol=1e-4)


@pytest.mark.parametrize(("family", "changes", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_computed_is_refused_with_key_and_value(
    family: str, changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    folder = write_config(tmp_path, family, changes)
    with pytest.raises(CheckpointError, match=message) as refusal:
        read_language_config(folder)
    assert str(folder) in str(refusal.value)
    assert len(str(refusal.value).splitlines()) == 1


def test_fields_that_transformers_adds_are_refused_until_they_are_known() -> None:
    config = AutoConfig.for_model("llama", per_layer_config=None, is_encoder_decoder=True)
    with pytest.raises(CheckpointError, match="is_encoder_decoder True"):
        to_language_config(config)
