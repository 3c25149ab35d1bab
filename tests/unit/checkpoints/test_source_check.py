"""A conversion is compared with what transformers and peft compute from the same files."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import CLIPModel, Qwen2Config, Qwen2ForCausalLM

from glamm.checkpoints import load_foreign, lora
from glamm.checkpoints.convert import convert
from glamm.checkpoints.sources import Sources
from glamm.errors import CheckpointError
from tests.builders.checkpoints import official, write_folder, write_sam, write_siglip
from tests.builders.training import save_micro
from tests.unit.checkpoints.test_lora import ADAPTERS, lora_of, write_adapter, write_llama

pytestmark = pytest.mark.filterwarnings("ignore")  # peft's: about its own calls and choices

LANGUAGE = "language_model: as transformers computes it"
WITH_PEFT = "language_model: as transformers and peft computes it"
VISION = "global_encoder: as transformers computes it"


@pytest.fixture
def parts(model, clip, tmp_path):
    return {"clip": clip, "sam": write_sam(model, tmp_path / "sam.pth")}


def lines(conversion):
    return [line.split(" from the source")[0] for line in conversion.checks]


def edit(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return folder


@pytest.mark.parametrize("dtype", [None, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 4.0}},
        {"tie_word_embeddings": True, "hidden_act": "gelu"},
    ],
    ids=["plain", "linear", "tied"],
)
def test_language_model_and_clip_are_compared(changes, dtype, parts, tmp_path):
    base = write_llama(tmp_path / "llama", **changes)
    conversion = convert(Sources(base, **parts), tmp_path / "out", dtype=dtype, init_missing=True)
    assert lines(conversion) == [LANGUAGE, VISION]


@pytest.mark.parametrize("kind", ["rslora", "alpha pattern", "dora", "whole modules", "embedding"])
@pytest.mark.parametrize("merges", [True, False], ids=["merged", "kept apart"])
def test_adapter_is_compared_with_peft(kind, merges, parts, tmp_path):
    base = write_llama(tmp_path / "llama")
    adapter = write_adapter(base, tmp_path / "adapter", **ADAPTERS[kind])
    sources = Sources(base, lora=adapter, **parts)
    conversion = convert(sources, tmp_path / "out", merges_lora=merges, init_missing=True)
    assert lines(conversion) == [WITH_PEFT, VISION]


@pytest.mark.parametrize("with_clip", [True, False], ids=["CLIP inside", "CLIP beside"])
def test_release_is_compared_as_a_llama(with_clip, model, clip, tmp_path):
    tensors = official(model, with_clip=with_clip) | lora_of(model)
    folder = write_folder(model, tmp_path / "release", tensors=tensors)
    conversion = convert(Sources(folder, clip=clip), tmp_path / "out")
    assert lines(conversion) == [WITH_PEFT, VISION]


def test_exported_folder_is_compared(clip, tmp_path):
    ours = save_micro(tmp_path / "ours")
    assert lines(convert(Sources(ours), tmp_path / "out", to_release=True)) == [LANGUAGE, VISION]
    assert convert(Sources(ours), tmp_path / "same").checks == ()


def test_qwen_and_siglip_are_compared(model, parts, tmp_path):
    base = write_llama(tmp_path / "llama")
    torch.manual_seed(0)
    values = json.loads((base / "config.json").read_text())
    sizes = {
        k: v for k, v in values.items() if k.endswith(("size", "layers", "heads", "embeddings"))
    }
    Qwen2ForCausalLM(Qwen2Config(**sizes)).save_pretrained(base)
    siglip = write_siglip(model.config.global_encoder, tmp_path / "siglip")
    sources = Sources(base, **(parts | {"clip": siglip}))
    conversion = convert(sources, tmp_path / "out", init_missing=True)
    assert lines(conversion) == [LANGUAGE, VISION]


def test_wrong_reading_of_positions_is_found(parts, tmp_path, monkeypatch):
    """As before: the base of the rotary embeddings was lost without a word."""
    base = edit(
        write_llama(tmp_path / "llama"), rope_parameters={"rope_type": "default", "rope_theta": 5e5}
    )
    original = load_foreign.build_without_weights

    def forgetful(config):
        language = config.language_model.model_copy(update={"rope_theta": 10_000.0})
        return original(config.model_copy(update={"language_model": language}))

    monkeypatch.setattr(load_foreign, "build_without_weights", forgetful)
    with pytest.raises(CheckpointError, match="the language_model computes something else than"):
        convert(Sources(base, **parts), tmp_path / "out", init_missing=True)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def test_adapter_at_half_strength_is_found(dtype, parts, tmp_path, monkeypatch):
    base = write_llama(tmp_path / "llama")
    adapter = write_adapter(base, tmp_path / "adapter", **ADAPTERS["plain"])
    path = adapter / "adapter_model.safetensors"
    # weak, so that it hides in the rounding of outputs
    weak = {name: value * 0.1 for name, value in load_file(path).items()}
    save_file(weak, path)
    original = lora._alpha
    monkeypatch.setattr(lora, "_alpha", lambda *arguments: original(*arguments) / 2)
    with pytest.raises(CheckpointError, match=r"computes something else|merged weight differs"):
        convert(
            Sources(base, lora=adapter, **parts), tmp_path / "out", dtype=dtype, init_missing=True
        )


def test_wrong_activation_of_clip_is_found(clip, parts, tmp_path, monkeypatch):
    base = write_llama(tmp_path / "llama")
    folder = tmp_path / "gelu"
    whole = CLIPModel.from_pretrained(clip)
    whole.config.vision_config.hidden_act = "gelu"
    whole.save_pretrained(folder)
    original = load_foreign.build_without_weights

    def forgetful(config):
        encoder = config.global_encoder.model_copy(update={"hidden_act": "quick_gelu"})
        return original(config.model_copy(update={"global_encoder": encoder}))

    monkeypatch.setattr(load_foreign, "build_without_weights", forgetful)
    with pytest.raises(CheckpointError, match="the global_encoder computes something else than"):
        convert(Sources(base, **(parts | {"clip": folder})), tmp_path / "out", init_missing=True)
