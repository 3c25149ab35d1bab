import pytest
import torch

from glamm.config.language import LanguageModelConfig, RopeScalingConfig
from glamm.config.model import GlobalEncoderConfig
from glamm.models.glamm import GLaMM
from glamm.models.glamm.without_weights import build_without_weights
from tests.builders.memory import allocations
from tests.builders.training import micro_config

LLAMA_3 = RopeScalingConfig(
    factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_positions=64
)


def config_of(kind):
    config = micro_config()
    language: LanguageModelConfig = config.language_model
    encoder: GlobalEncoderConfig = config.global_encoder
    changes = {
        "llama": {},
        "llama 3": {"language_model": language.model_copy(update={"rope_scaling": LLAMA_3})},
        "qwen 2": {"language_model": language.model_copy(update={"architecture": "qwen2"})},
        "qwen 3, tied": {
            "language_model": language.model_copy(
                update={"architecture": "qwen3", "tie_embeddings": True}
            )
        },
        "siglip": {"global_encoder": encoder.model_copy(update={"architecture": "siglip"})},
    }
    return config.model_copy(update=changes[kind])


KINDS = ("llama", "llama 3", "qwen 2", "qwen 3, tied", "siglip")


def buffers_not_stored(model):
    stored = model.state_dict().keys()
    return {name: value for name, value in model.named_buffers() if name not in stored}


@pytest.mark.parametrize("kind", KINDS)
def test_completed_model_equals_the_one_built_with_weights(kind):
    torch.manual_seed(0)
    built = GLaMM.from_config(config_of(kind))
    before = {name: value.clone() for name, value in buffers_not_stored(built).items()}

    empty = build_without_weights(built.config)
    empty.load_state_dict(built.state_dict(), assign=True)

    buffers = buffers_not_stored(empty)
    assert buffers.keys() == before.keys()
    assert len(before) == 7
    for name, value in before.items():
        assert torch.equal(buffers[name], value), name
        assert buffers[name].dtype == value.dtype, name
    assert not any(value.is_meta for value in empty.state_dict().values())
    assert sum(p.numel() for p in empty.parameters()) == sum(p.numel() for p in built.parameters())
    assert all(parameter.requires_grad for parameter in empty.parameters())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64], ids=str)
def test_cast_changes_weights_and_no_computed_buffer(kind, dtype):
    model = GLaMM.from_config(config_of(kind))
    before = {name: value.clone() for name, value in buffers_not_stored(model).items()}

    for name, part in [*model.named_children(), ("", model)]:  # each part alone, then all
        part.to(dtype)
        assert {parameter.dtype for parameter in part.parameters()} == {dtype}, name

    for name, value in buffers_not_stored(model).items():
        assert value.dtype == before[name].dtype, name
        assert torch.equal(value, before[name]), name
    frequencies = model.language_model.model.rotary_emb
    assert frequencies.inv_freq.dtype == frequencies.original_inv_freq.dtype == torch.float32


def test_rotary_frequencies_return_after_a_long_text_and_a_cast():
    """Dynamic kinds of rotary embedding replace the frequencies while they run."""
    model = GLaMM.from_config(config_of("llama"))
    rotary = model.language_model.model.rotary_emb
    before = rotary.inv_freq.clone()
    rotary.inv_freq, rotary.max_seq_len_cached = before / 2, 10**6

    model.bfloat16()

    assert torch.equal(rotary.inv_freq, before)
    assert rotary.max_seq_len_cached == model.config.language_model.max_positions


def test_building_without_weights_takes_no_memory():
    config = micro_config()
    size = sum(p.numel() * 4 for p in GLaMM.from_config(config).parameters())

    with allocations() as memory:
        model = build_without_weights(config)

    buffers = sum(value.nbytes for value in buffers_not_stored(model).values())
    assert memory.kept >= buffers
    assert memory.peak < buffers + 20_000 < size / 10
