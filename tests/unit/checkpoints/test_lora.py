"""LoRA weights of every kind: merged as peft merges them, or refused."""

import json

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from glamm.checkpoints.convert import convert
from glamm.checkpoints.load_foreign import load_sources, merge_lora_weights
from glamm.checkpoints.sources import Sources
from glamm.checkpoints.store import load_model
from glamm.errors import CheckpointError
from glamm.text.tokenizer import embedded_tokenizer
from tests.builders.checkpoints import official, write_folder, write_sam

pytestmark = pytest.mark.filterwarnings("ignore")  # peft's: about its own calls and choices

TARGETS = ["q_proj", "v_proj"]
ADAPTERS = {
    "plain": {"r": 4, "lora_alpha": 8},
    "rslora": {"r": 4, "lora_alpha": 8, "use_rslora": True},
    "rank pattern": {"r": 4, "lora_alpha": 8, "rank_pattern": {"v_proj": 2, r"layers\.1\.self_attn\.q_proj": 3}},
    "alpha pattern": {"r": 4, "lora_alpha": 8, "alpha_pattern": {r".*\.0\.self_attn\.v_proj": 32, "q_proj": 2}},
    "anchored pattern": {"r": 4, "lora_alpha": 8, "alpha_pattern": {r"^model\.layers\.1\..*v_proj": 64}},
    "patterns and rslora": {
        "r": 4,
        "lora_alpha": 8,
        "rank_pattern": {"v_proj": 2},
        "alpha_pattern": {"v_proj": 16},
        "use_rslora": True,
    },
    "dora": {"r": 4, "lora_alpha": 8, "use_dora": True},
    "one layer": {"r": 4, "lora_alpha": 8, "layers_to_transform": [1]},
    "regular expression": {"r": 4, "lora_alpha": 8, "target_modules": r".*layers\.0.*(gate|down)_proj"},
    "all linear": {"r": 2, "lora_alpha": 8, "target_modules": "all-linear"},
    "embedding": {"r": 4, "lora_alpha": 8, "target_modules": ["embed_tokens", "q_proj"]},
    "head": {"r": 4, "lora_alpha": 8, "target_modules": ["lm_head", "q_proj"]},
    "whole modules": {"r": 4, "lora_alpha": 8, "modules_to_save": ["embed_tokens", "lm_head"]},
    "norms": {"r": 4, "lora_alpha": 8, "modules_to_save": ["input_layernorm", "norm"]},
    "biases of adapted modules": {"r": 4, "lora_alpha": 8, "bias": "lora_only"},
    "all biases": {"r": 4, "lora_alpha": 8, "bias": "all"},
    "bias of B": {"r": 4, "lora_alpha": 8, "lora_bias": True},
    "fan in, fan out": {"r": 4, "lora_alpha": 8, "fan_in_fan_out": True},
    "eva": {"r": 4, "lora_alpha": 8, "init_lora_weights": "gaussian"},
}  # fmt: skip


def write_llama(folder, **changes):
    """A LLaMA with biases and a head of its own, and a tokenizer."""
    torch.manual_seed(5)
    sizes = {
        "vocab_size": len(embedded_tokenizer()) - 7,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        "attention_bias": True,
        "mlp_bias": True,
    }
    LlamaForCausalLM(LlamaConfig(**(sizes | changes))).save_pretrained(folder)
    (folder / "tokenizer.model").write_bytes(embedded_tokenizer().model)
    return folder


def write_adapter(base, folder, **settings):
    """An adapter in which everything that can be trained has random values."""
    model = AutoModelForCausalLM.from_pretrained(base)
    adapted = get_peft_model(
        model, LoraConfig(**({"target_modules": TARGETS, "task_type": "CAUSAL_LM"} | settings))
    )
    torch.manual_seed(7)
    with torch.no_grad():
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    adapted.save_pretrained(folder)
    return folder


def edit(folder, **changes):
    path = folder / "adapter_config.json"
    values = json.loads(path.read_text()) | changes
    path.write_text(json.dumps(values))
    return folder


@pytest.fixture
def parts(model, clip, tmp_path):
    return {"clip": clip, "sam": write_sam(model, tmp_path / "sam.pth")}


@pytest.mark.parametrize("settings", ADAPTERS.values(), ids=ADAPTERS)
def test_adapter_is_merged_as_peft_merges_it(settings, parts, tmp_path):
    base = write_llama(tmp_path / "llama")
    adapter = write_adapter(base, tmp_path / "adapter", **settings)
    plain = AutoModelForCausalLM.from_pretrained(base)
    expected = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), adapter)
    expected = expected.merge_and_unload().state_dict()

    loaded = load_sources(Sources(base, lora=adapter, **parts), init_missing=True)
    merged = merge_lora_weights(loaded).model.language_model.state_dict()

    rows = plain.config.vocab_size
    assert expected.keys() == merged.keys()
    for name, value in expected.items():
        assert torch.equal(
            merged[name][:rows] if value.shape[0] == rows else merged[name], value
        ), name
    changed = [n for n, v in plain.state_dict().items() if not torch.equal(v, expected[n])]
    assert changed, "the adapter changes something"


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bfloat16", "float16"])
def test_adapter_is_merged_into_weights_of_16_bits_as_peft_does(dtype, parts, tmp_path):
    base = write_llama(tmp_path / "llama")
    AutoModelForCausalLM.from_pretrained(base, dtype=dtype).save_pretrained(base)
    adapter = write_adapter(base, tmp_path / "adapter", **ADAPTERS["patterns and rslora"])
    theirs = AutoModelForCausalLM.from_pretrained(base, dtype=dtype)
    expected = PeftModel.from_pretrained(theirs, adapter).merge_and_unload().state_dict()

    loaded = load_sources(Sources(base, lora=adapter, **parts), init_missing=True)
    merged = merge_lora_weights(loaded).model.language_model.state_dict()

    layers = [name for name in expected if "layers" in name]
    assert all(torch.equal(merged[name], expected[name]) for name in layers)


@pytest.mark.parametrize("kind", ["plain", "patterns and rslora", "dora", "embedding", "bias of B"])
def test_adapter_that_is_kept_apart_is_the_same_adapter(kind, parts, tmp_path):
    base = write_llama(tmp_path / "llama")
    adapter = write_adapter(base, tmp_path / "adapter", **ADAPTERS[kind])
    sources = Sources(base, lora=adapter, **parts)

    convert(sources, tmp_path / "kept", merges_lora=False, init_missing=True)
    convert(sources, tmp_path / "merged", init_missing=True)
    convert(Sources(tmp_path / "kept", lora=tmp_path / "kept/adapter"), tmp_path / "later")

    first, second = (load_model(tmp_path / name)[0] for name in ("merged", "later"))
    language = second.language_model.state_dict()
    for name, value in first.language_model.state_dict().items():
        assert torch.equal(value, language[name]), name


REFUSED = {
    "no settings": (lambda f: (f / "adapter_config.json").unlink() or f, "has no adapter_config.json, so that the strength"),
    "method": (lambda f: edit(f, peft_type="LOHA"), "peft_type LOHA is not supported"),
    "rank": (lambda f: edit(f, r=8), "gives model.layers.0.self_attn.q_proj the rank 8, but its weights have 4"),
    "pattern of ranks": (lambda f: edit(f, rank_pattern={"v_proj": 2}), "v_proj the rank 2, but its weights have 4"),
    "fewer targets": (lambda f: edit(f, target_modules=["q_proj"]), "does not name .*v_proj"),
    "more targets": (lambda f: edit(f, target_modules=["q_proj", "v_proj", "o_proj"]), "names .*o_proj .*no weights"),
    "fewer layers": (lambda f: edit(f, layers_to_transform=[0]), r"does not name model.layers.1"),
    "missing module": (lambda f: edit(f, modules_to_save=["lm_head"]), "modules_to_save names lm_head"),
    "initialization": (lambda f: edit(f, init_lora_weights="pissa"), "init_lora_weights 'pissa'"),
    "tokens": (lambda f: edit(f, trainable_token_indices=[1, 2]), r"trainable_token_indices \[1, 2\]"),
    "copied layers": (lambda f: edit(f, layer_replication=[[0, 2], [1, 2]]), "layer_replication"),
    "unknown": (lambda f: edit(f, use_qalora=True), "use_qalora True is not supported"),
    "no alpha": (lambda f: edit(f, lora_alpha=None), "has no number lora_alpha"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "message"), REFUSED.values(), ids=REFUSED)
def test_settings_that_cannot_be_honored_are_refused(change, message, parts, tmp_path):
    base = write_llama(tmp_path / "llama")
    adapter = change(write_adapter(base, tmp_path / "adapter", **ADAPTERS["plain"]))
    with pytest.raises(CheckpointError, match=message) as refusal:
        load_sources(Sources(base, lora=adapter, **parts), init_missing=True)
    assert len(str(refusal.value).splitlines()) == 1


@pytest.mark.parametrize("shape", [(0,), (0, 32)], ids=["no axis", "no rows"])
def test_empty_weights_of_zero_3_are_refused(shape, parts, tmp_path):
    base = write_llama(tmp_path / "llama")
    adapter = write_adapter(base, tmp_path / "adapter", **ADAPTERS["plain"])
    path = adapter / "adapter_model.safetensors"
    save_file({name: torch.zeros(shape) for name in load_file(path)}, path)
    with pytest.raises(CheckpointError, match=r"LoRA weights are empty .*ZeRO-3"):
        load_sources(Sources(base, lora=adapter, **parts), init_missing=True)


@pytest.mark.parametrize("side", ["lora_A", "lora_B"])
def test_weights_without_their_other_half_are_refused(side, parts, tmp_path):
    base = write_llama(tmp_path / "llama")
    adapter = write_adapter(base, tmp_path / "adapter", **ADAPTERS["plain"])
    path = adapter / "adapter_model.safetensors"
    tensors = load_file(path)
    name = next(name for name in tensors if side in name)
    save_file({n: value for n, value in tensors.items() if n != name}, path)
    with pytest.raises(CheckpointError, match="has only one of lora_A and lora_B"):
        load_sources(Sources(base, lora=adapter, **parts), init_missing=True)


@pytest.mark.parametrize(
    "settings",
    [
        {"target_modules": ["embed_tokens", "q_proj"]},
        {"modules_to_save": ["embed_tokens"]},
    ],
    ids=["embedding", "embedding as a whole"],
)
def test_adapter_of_one_of_two_tied_weights_is_refused(settings, parts, tmp_path):
    base = write_llama(tmp_path / "llama", tie_word_embeddings=True)
    adapter = write_adapter(base, tmp_path / "adapter", r=4, lora_alpha=8, **settings)
    with pytest.raises(CheckpointError, match="whose embed_tokens and lm_head are one weight"):
        load_sources(Sources(base, lora=adapter, **parts), init_missing=True)


@pytest.mark.parametrize(
    "settings",
    [
        {"modules_to_save": ["embed_tokens", "lm_head"]},
        {"modules_to_save": ["lm_head"]},
        {"target_modules": ["lm_head", "q_proj"]},
    ],
    ids=["both as a whole", "head as a whole", "head"],
)
def test_adapted_head_of_a_tied_model_becomes_a_head_of_its_own(settings, parts, tmp_path):
    base = write_llama(tmp_path / "llama", tie_word_embeddings=True)
    adapter = write_adapter(base, tmp_path / "adapter", r=4, lora_alpha=8, **settings)
    theirs = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), adapter).eval()

    loaded = load_sources(Sources(base, lora=adapter, **parts), init_missing=True)
    ours = merge_lora_weights(loaded).model.language_model

    ids = torch.arange(12)[None]
    with torch.no_grad():
        expected = theirs(ids).logits
        assert torch.allclose(ours(ids).logits[..., : expected.shape[-1]], expected, atol=1e-5)


@pytest.mark.parametrize("order", ["as peft stores it", "sorted"])
def test_trained_copy_of_a_module_counts_in_a_whole_checkpoint(model, clip, tmp_path, order):
    """A checkpoint of the wrapped model has the original of a module as well, with a name that is sorted behind it."""
    tensors = official(model)
    trained = tensors.pop("lm_head.weight")
    wrapped = {
        "lm_head.original_module.weight": torch.zeros_like(trained),
        "lm_head.modules_to_save.mine.weight": trained,
    }
    wrapped = {f"base_model.model.{name}": value for name, value in (tensors | wrapped).items()}
    if order == "sorted":
        wrapped = dict(sorted(wrapped.items()))
    folder = write_folder(model, tmp_path / "release", tensors=wrapped)

    loaded = load_sources(Sources(folder, clip=clip)).model

    assert torch.equal(loaded.language_model.lm_head.weight, trained)


def lora_of(model, *, adapter="default", rank=8):
    tensors = {}
    for layer in range(2):
        for module in TARGETS:
            name = f"base_model.model.model.layers.{layer}.self_attn.{module}"
            tensors[f"{name}.lora_A.{adapter}.weight"] = torch.randn(rank, 32)
            tensors[f"{name}.lora_B.{adapter}.weight"] = torch.randn(32, rank)
    return tensors


def test_lora_weights_of_the_release_have_its_strength(model, clip, tmp_path):
    lora = lora_of(model)
    folder = write_folder(model, tmp_path / "release", tensors=official(model) | lora)

    loaded = load_sources(Sources(folder, clip=clip))

    assert loaded.lora
    assert "4 modules with alpha 16, rank 8 (of the release" in loaded.lora.settings.description()
    merged = merge_lora_weights(loaded).model.state_dict()
    name = "model.layers.1.self_attn.q_proj"
    a, b = (lora[f"base_model.model.{name}.lora_{side}.default.weight"] for side in "AB")
    expected = model.state_dict()[f"language_model.{name}.weight"] + 16 / 8 * (b @ a)
    assert torch.allclose(merged[f"language_model.{name}.weight"], expected, atol=1e-5)


def test_settings_beside_a_whole_checkpoint_count(model, clip, tmp_path):
    folder = write_folder(model, tmp_path / "release", tensors=official(model) | lora_of(model))
    settings = {"peft_type": "LORA", "r": 8, "lora_alpha": 64, "target_modules": TARGETS}
    (folder / "adapter_config.json").write_text(json.dumps(settings))

    loaded = load_sources(Sources(folder, clip=clip))

    assert loaded.lora
    assert set(loaded.lora.settings.alphas.values()) == {64.0}


def test_several_adapters_are_refused(model, clip, tmp_path):
    lora = lora_of(model) | lora_of(model, adapter="second")
    folder = write_folder(model, tmp_path / "release", tensors=official(model) | lora)
    with pytest.raises(CheckpointError, match="contains the adapters default, second"):
        load_sources(Sources(folder, clip=clip))


@pytest.mark.parametrize("target", ["q_proj", "lm_head"])
def test_adapter_of_a_model_of_another_width_is_refused(target, parts, tmp_path):
    adapter = write_adapter(
        write_llama(tmp_path / "narrow", hidden_size=16),
        tmp_path / "adapter",
        **(ADAPTERS["plain"] | {"target_modules": [target]}),
    )
    path = adapter / "adapter_model.safetensors"
    lora = {name: value for name, value in load_file(path).items() if ".lora_" in name}
    save_file(lora, path)
    sources = Sources(write_llama(tmp_path / "llama"), lora=adapter, **parts)
    with pytest.raises(CheckpointError, match=r"LoRA weights cannot be merged: .*size mismatch"):
        merge_lora_weights(load_sources(sources, init_missing=True))


def test_adapter_without_its_model_is_refused(parts, tmp_path):
    base = write_llama(tmp_path / "llama")
    adapter = write_adapter(base, tmp_path / "adapter", **ADAPTERS["plain"])
    with pytest.raises(CheckpointError, match=r"contains only LoRA weights.*--lora"):
        load_sources(Sources(adapter, **parts), init_missing=True)


def test_second_adapter_is_refused(model, clip, tmp_path):
    base = write_folder(model, tmp_path / "release", tensors=official(model) | lora_of(model))
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    save_file(lora_of(model), adapter / "adapter_model.safetensors")
    settings = {"peft_type": "LORA", "r": 8, "lora_alpha": 16, "target_modules": TARGETS}
    (adapter / "adapter_config.json").write_text(json.dumps(settings))
    with pytest.raises(CheckpointError, match="contains LoRA weights itself"):
        load_sources(Sources(base, clip=clip, lora=adapter))
