from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from glamm.config.language import LanguageModelConfig, RopeScalingConfig
from glamm.config.model import ModelConfig
from glamm.inference.engine import generate
from glamm.inference.prompts import num_positions
from glamm.models.language.causal import build_language_model
from glamm.models.language.foreign_config import to_language_config
from tests.builders.models import BBOX, CONFIG, SEG, build_batch, build_model, build_request

SIZES = {"vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_layers": 2}
LANGUAGE_MODELS = {
    "llama": LanguageModelConfig(num_heads=4, **SIZES),
    "llama 3": LanguageModelConfig(
        num_heads=4,
        num_key_value_heads=2,
        rope_theta=500_000.0,
        rope_scaling=RopeScalingConfig(
            factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_positions=64
        ),
        **SIZES,
    ),
    "qwen 2": LanguageModelConfig(
        architecture="qwen2", num_heads=4, num_key_value_heads=2, rope_theta=1e6, **SIZES
    ),
    "qwen 3": LanguageModelConfig(
        architecture="qwen3",
        num_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        rope_theta=1e6,
        tie_embeddings=True,
        **SIZES,
    ),
    "smollm2": LanguageModelConfig(
        num_heads=3,
        num_key_value_heads=1,
        rope_theta=100_000.0,
        tie_embeddings=True,
        **(SIZES | {"hidden_size": 48}),
    ),
    "biases": LanguageModelConfig(num_heads=4, attention_bias=True, mlp_bias=True, **SIZES),
    "longrope": LanguageModelConfig(
        num_heads=4,
        rope_scaling=RopeScalingConfig(
            type="longrope",
            short_factor=(1.0, 1.1, 1.2, 1.3),
            long_factor=(2.0, 3.0, 4.0, 5.0),
            factor=4.0,
            original_max_positions=80,
        ),
        **SIZES,
    ),
}
every_language_model = pytest.mark.parametrize(
    "language", LANGUAGE_MODELS.values(), ids=LANGUAGE_MODELS
)


def _config(language: LanguageModelConfig) -> ModelConfig:
    return CONFIG.model_copy(update={"language_model": language})


@every_language_model
def test_every_language_model_trains_and_predicts_masks(language: LanguageModelConfig) -> None:
    model = build_model(_config(language))
    batch = build_batch(
        [[BBOX, 7, SEG, 2], [8, SEG, 2]],
        image_index=[0, 1],
        num_masks=[1, 1],
        boxes={0: [[0.1, 0.1, 0.9, 0.9]]},
    )

    output = model(batch)
    output.loss.backward()

    assert torch.isfinite(output.loss)
    assert [len(masks) for masks in output.mask_logits] == [1, 1]
    untrained = [name for name, p in model.language_model.named_parameters() if p.grad is None]
    assert untrained == []


@every_language_model
def test_every_language_model_generates_the_same_with_and_without_a_cache(
    language: LanguageModelConfig,
) -> None:
    model = build_model(_config(language))
    request = build_request([7, 8, 9])

    with torch.no_grad():
        answer = generate(model, request, max_new_tokens=6, eos_token_id=-1)
        batch = build_batch([[7, 8, 9, *answer.token_ids]], image_index=[0])
        inputs = model.build_inputs(batch, model.encode_image(request.global_pixels[None]))
        logits = model.language_model.lm_head(model.run_language_model(inputs)[0])

    assert tuple(logits[-7:-1].argmax(1).tolist()) == answer.token_ids


@every_language_model
def test_weights_of_every_language_model_survive_a_state_dict(
    language: LanguageModelConfig,
) -> None:
    first, second = build_model(_config(language)), build_model(_config(language), seed=1)
    weights = first.state_dict()

    second.load_state_dict(weights)

    storages = [value.untyped_storage().data_ptr() for value in weights.values()]
    assert len(set(storages)) == len(storages), "safetensors refuses what is shared"
    batch = build_batch([[7, 8, 2]], image_index=[0])
    with torch.no_grad():
        assert second(batch).loss.item() == first(batch).loss.item()


@pytest.mark.parametrize(
    ("family", "theirs"),
    [
        ("llama", {"attn": False, "norm": False}),
        ("qwen 2", {"attn": True, "norm": False}),
        ("qwen 3", {"attn": False, "norm": True}),
    ],
    ids=["llama", "qwen 2", "qwen 3"],
)
def test_families_differ_in_biases_and_norms(family: str, theirs: dict[str, bool]) -> None:
    names = build_language_model(LANGUAGE_MODELS[family], eos_token_id=2).state_dict().keys()

    assert any(name.endswith("q_proj.bias") for name in names) == theirs["attn"]
    assert any(name.endswith("q_norm.weight") for name in names) == theirs["norm"]


def test_rope_scaling_changes_distant_tokens() -> None:
    scaled = LANGUAGE_MODELS["llama 3"]
    plain = scaled.model_copy(update={"rope_scaling": None})
    ids = torch.arange(60)[None]
    states = []
    for config in (scaled, plain):
        torch.manual_seed(0)
        model = build_language_model(config, eos_token_id=2).eval()
        with torch.no_grad():
            states.append(model.model(ids).last_hidden_state[0])

    assert torch.equal(states[0][0], states[1][0])
    assert not torch.allclose(states[0][-1], states[1][-1], atol=1e-5)


@every_language_model
def test_configuration_is_read_back_from_a_folder_of_transformers(
    language: LanguageModelConfig, tmp_path: Path
) -> None:
    model = build_language_model(language, eos_token_id=2)
    model.save_pretrained(tmp_path)

    config = to_language_config(AutoConfig.from_pretrained(tmp_path))

    again = build_language_model(config, eos_token_id=2)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path)
    again.load_state_dict(theirs.state_dict())
    ids = torch.arange(20)[None]
    with torch.no_grad():
        assert torch.equal(again.eval()(ids).logits, model.eval()(ids).logits)


def test_answers_end_where_longrope_changes_the_positions_already_read() -> None:
    model = build_model(_config(LANGUAGE_MODELS["longrope"]))

    request = build_request([7, 8, 9])

    answer = generate(model, request, max_new_tokens=500, eos_token_id=-1)

    assert num_positions(model, request) + len(answer.token_ids) == 80
