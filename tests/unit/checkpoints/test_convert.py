"""Conversions from and to every layout; the foreign files are written by the libraries that define them."""

import json
import shutil

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import CLIPVisionModel, LlamaConfig, LlamaForCausalLM

from glamm.checkpoints.convert import convert
from glamm.checkpoints.inspect import describe, verify
from glamm.checkpoints.load_foreign import load_sources
from glamm.checkpoints.probe import probe
from glamm.checkpoints.sources import Sources
from glamm.checkpoints.store import load_model
from glamm.checkpoints.weight_files import open_weights
from glamm.checkpoints.write_release import write_release
from glamm.errors import CheckpointError
from glamm.models.glamm import GLaMM
from glamm.text.tokenizer import Tokenizer, embedded_tokenizer
from tests.builders.checkpoints import official, same, write_folder, write_sam, write_siglip
from tests.builders.language import CONTROL_TOKENS, NUM_BYTES, write_llama_3
from tests.builders.training import micro_config, save_micro


@pytest.mark.parametrize("shards", [1, 3], ids=["one file", "shards"])
@pytest.mark.parametrize("kind", ["bin", "safetensors"])
def test_release_folder_is_read_from_files_of_every_kind(model, clip, tmp_path, shards, kind):
    tensors = official(model)
    folder = write_folder(model, tmp_path / "release", tensors=tensors)
    if shards > 1 or kind == "safetensors":
        (folder / "pytorch_model.bin").unlink()
        weight_map = {}
        for number in range(shards):
            shard = dict(list(tensors.items())[number::shards])
            name = f"shard-{number}.{kind}"
            if kind == "bin":
                torch.save(shard, folder / name)
            else:
                save_file({key: value.contiguous() for key, value in shard.items()}, folder / name)
            weight_map |= dict.fromkeys(shard, name)
        index = "pytorch_model.bin.index.json" if kind == "bin" else "model.safetensors.index.json"
        (folder / index).write_text(json.dumps({"weight_map": weight_map}))

    conversion = convert(Sources(folder, clip=clip), tmp_path / "ours")

    assert same(model, load_model(tmp_path / "ours")[0])
    assert conversion.num_parameters == sum(p.numel() for p in model.parameters())
    assert all(value > 0 for value in conversion.probe.values())
    verify(tmp_path / "ours")


def test_conversion_to_the_release_and_back_gives_the_same_bytes(tmp_path, clip):
    ours = save_micro(tmp_path / "ours")

    convert(Sources(ours), tmp_path / "release", to_release=True, shard_bytes=100_000)
    convert(Sources(tmp_path / "release", clip=tmp_path / "release/clip"), tmp_path / "back")

    assert len(list((tmp_path / "release").glob("model-*.safetensors"))) > 1
    assert (tmp_path / "back/model.safetensors").read_bytes() == (
        ours / "model.safetensors"
    ).read_bytes()
    assert (tmp_path / "back/tokenizer.model").read_bytes() == (
        ours / "tokenizer.model"
    ).read_bytes()
    CLIPVisionModel.from_pretrained(tmp_path / "release/clip")  # transformers reads it
    card = (tmp_path / "back/README.md").read_text()
    assert describe(tmp_path / "back").sha256 in card


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bfloat16", "float16"])
def test_weights_keep_their_type_unless_another_is_named(model, clip, tmp_path, dtype):
    half = {name: value.to(dtype) for name, value in official(model).items()}
    folder = write_folder(model, tmp_path / "release", tensors=half)

    kept = convert(Sources(folder, clip=clip), tmp_path / "kept")
    changed = convert(Sources(folder, clip=clip), tmp_path / "changed", dtype=torch.float32)

    assert kept.dtype == str(dtype).removeprefix("torch.")
    assert {w.dtype for w in load_file(tmp_path / "kept/model.safetensors").values()} == {dtype}
    assert changed.dtype == "float32"


def test_wrapped_names_are_read(model, clip, tmp_path):
    """The file of zero_to_fp32, and the model states of ZeRO-2."""
    wrapped = {f"base_model.model.{name}": value for name, value in official(model).items()}
    folder = write_folder(model, tmp_path / "zero", tensors=wrapped)
    assert same(model, load_sources(Sources(folder, clip=clip)).model)

    states = tmp_path / "mp_rank_00_model_states.pt"
    torch.save(
        {
            "module": {f"module.{name}": value for name, value in official(model).items()},
            "dp_world_size": 8,
        },
        states,
    )
    assert same(model, load_sources(Sources(states, clip=clip, config=folder)).model)


def test_partitions_of_zero_3_are_refused_with_the_remedy(model, clip, tmp_path):
    empty = {name: value.new_empty(0) for name, value in official(model).items()}
    folder = write_folder(model, tmp_path / "zero3", tensors={"module": empty})
    with pytest.raises(CheckpointError, match=r"ZeRO-3.*zero_to_fp32\.py"):
        load_sources(Sources(folder, clip=clip))

    (tmp_path / "raw/global_step5").mkdir(parents=True)
    with pytest.raises(CheckpointError, match=r"partitions.*zero_to_fp32\.py"):
        open_weights(tmp_path / "raw")


@pytest.mark.filterwarnings("ignore::FutureWarning")  # peft calls transformers in a deprecated way
@pytest.mark.parametrize("names", ["peft", "release"])
def test_lora_weights_are_merged_or_kept(model, clip, tmp_path, names):
    base = GLaMM.from_config(model.config)
    base.load_state_dict(model.state_dict())
    adapted = get_peft_model(
        base.language_model,
        LoraConfig(r=2, lora_alpha=8, target_modules=["q_proj", "v_proj"], bias="none"),
    )
    for name, value in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(value, std=0.1)
    folder = write_folder(model, tmp_path / "base", tensors=official(model))
    if names == "peft":
        adapted.save_pretrained(tmp_path / "adapter")
        sources = Sources(folder, clip=clip, lora=tmp_path / "adapter")
    else:
        lora = {
            f"base_model.model.{name.removeprefix('base_model.model.')}": value
            for name, value in adapted.state_dict().items()
            if "lora_" in name
        }
        # the release has alpha 16 instead of 8: half of lora_B with twice the factor is the same
        lora = {name: value / 2 if "lora_B" in name else value for name, value in lora.items()}
        torch.save(official(model) | lora, folder / "pytorch_model.bin")
        sources = Sources(folder, clip=clip)

    convert(sources, tmp_path / "merged")
    convert(sources, tmp_path / "kept", merges_lora=False)

    adapted.merge_and_unload()
    merged = load_model(tmp_path / "merged")[0]
    for name, value in probe(base.eval()).items():
        assert torch.allclose(value, probe(merged)[name], atol=1e-5), name
    assert not same(model, merged)
    assert same(model, load_model(tmp_path / "kept")[0])
    again = convert(Sources(tmp_path / "kept", lora=tmp_path / "kept/adapter"), tmp_path / "again")
    assert again.files[0].sha256 == describe(tmp_path / "merged").sha256


def test_model_is_built_from_published_parts(model, clip, tmp_path):
    language = model.config.language_model
    vocabulary = language.vocab_size - 7
    llama = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=language.hidden_size,
            intermediate_size=language.intermediate_size,
            num_hidden_layers=language.num_layers,
            num_attention_heads=language.num_heads,
            max_position_embeddings=256,
        )
    )
    llama.save_pretrained(tmp_path / "llama", max_shard_size="100KB")
    (tmp_path / "llama/tokenizer.model").write_bytes(embedded_tokenizer().model)
    sam = write_sam(model, tmp_path / "sam_vit_t.pth")
    sources = Sources(tmp_path / "llama", clip=clip, sam=sam)

    with pytest.raises(CheckpointError, match="--init-missing"):
        convert(sources, tmp_path / "refused")
    conversion = convert(sources, tmp_path / "ours", init_missing=True)

    built, _ = load_model(tmp_path / "ours")
    weights = built.state_dict()
    assert torch.equal(
        weights["mask_decoder.iou_token.weight"],
        model.state_dict()["mask_decoder.iou_token.weight"],
    )
    embedding = weights["language_model.model.embed_tokens.weight"]
    assert torch.equal(embedding[:vocabulary], llama.model.embed_tokens.weight)
    assert len(embedding) == language.vocab_size
    new = embedding[vocabulary:]
    assert torch.equal(new, llama.model.embed_tokens.weight.mean(0).expand_as(new))
    assert {name.split(".")[0] for name in conversion.initialized} == {
        "image_projector",
        "region_encoder",
        "text_to_mask_projector",
    }
    assert built.config.grounding_encoder == model.config.grounding_encoder


def test_llama_3_and_siglip_become_a_glamm(model, tmp_path):
    llama = write_llama_3(tmp_path / "llama")
    siglip = write_siglip(model.config.global_encoder, tmp_path / "siglip")
    sam = write_sam(model, tmp_path / "sam_vit_t.pth")

    convert(Sources(llama, clip=siglip, sam=sam), tmp_path / "ours", init_missing=True)

    built, config = load_model(tmp_path / "ours")
    assert config.global_encoder.architecture == "siglip"
    assert config.language_model.num_key_value_heads == 2
    assert config.language_model.tie_embeddings
    tokenizer = Tokenizer.from_folder(tmp_path / "ours")
    assert config.language_model.vocab_size == len(tokenizer) == NUM_BYTES + len(CONTROL_TOKENS) + 7
    assert config.special_tokens.seg == tokenizer.token_id("[SEG]")
    theirs = LlamaForCausalLM.from_pretrained(llama)
    ids = torch.arange(20)[None]
    with torch.no_grad():
        logits = built.language_model(ids).logits[..., : NUM_BYTES + len(CONTROL_TOKENS)]
        assert torch.equal(logits, theirs(ids).logits)


def test_sizes_are_inferred_from_shapes(tmp_path):
    """A release folder that others wrote does not contain our configuration."""
    torch.manual_seed(1)
    config = micro_config()
    config = config.model_copy(
        update={
            "mask_decoder": config.mask_decoder.model_copy(update={"num_heads": 8}),
            "global_encoder": config.global_encoder.model_copy(
                update={"num_layers": 12, "select_layer": -2}
            ),
            "region_encoder": config.region_encoder.model_copy(
                update={
                    "width": 64,
                    "num_groups": 64,
                    "level_step": 3,
                    "num_levels": 4,
                    "sampling_ratio": 2,
                }
            ),
        }
    )
    model = GLaMM.from_config(config)
    write_release(model, embedded_tokenizer(), tmp_path / "release")
    path = tmp_path / "release/config.json"
    values = json.loads(path.read_text())
    del values["glamm_config"]
    path.write_text(json.dumps(values))

    loaded = load_sources(Sources(tmp_path / "release", clip=tmp_path / "release/clip"))

    inferred = loaded.model.config
    assert (
        inferred.model_copy(update={"compat": config.compat, "prompt_style": config.prompt_style})
        == config
    )
    assert inferred.compat.roi_base_size == 224
    assert same(model, loaded.model)


def published(size):
    from segment_anything import sam_model_registry  # noqa: PLC0415

    with torch.device("meta"):
        return sam_model_registry[f"vit_{size}"]()


@pytest.mark.parametrize(
    ("size", "layers", "heads", "global_layers"),
    [("b", 12, 12, (2, 5, 8, 11)), ("l", 24, 16, (5, 11, 17, 23)), ("h", 32, 16, (7, 15, 23, 31))],
    ids=["base", "large", "huge"],
)
def test_sizes_of_published_sams_are_inferred(size, layers, heads, global_layers):
    from glamm.checkpoints.infer_config import infer_grounding_encoder, infer_mask_decoder  # noqa: PLC0415
    from glamm.checkpoints.name_maps.sam import sam_names  # noqa: PLC0415
    from glamm.models.sam.grounding_encoder import GroundingEncoder  # noqa: PLC0415

    weights = published(size).state_dict()
    to_ours = sam_names(weights)
    shapes = {
        ours: tuple(value.shape) for name, value in weights.items() if (ours := to_ours(name))
    }

    config = infer_grounding_encoder(shapes)

    assert (config.num_layers, config.num_heads, config.image_size) == (layers, heads, 1024)
    assert config.global_attention_layers == global_layers
    assert infer_mask_decoder(shapes).mlp_dim == 2048
    with torch.device("meta"):
        built = GroundingEncoder.from_config(config).state_dict()
    assert {f"grounding_encoder.{name}": tuple(value.shape) for name, value in built.items()} == {
        name: shape for name, shape in shapes.items() if name.startswith("grounding_encoder.")
    }


def test_folder_with_files_is_not_overwritten(tmp_path):
    ours = save_micro(tmp_path / "ours")
    with pytest.raises(CheckpointError, match="is not empty"):
        convert(Sources(ours), ours)


def test_verification_refuses_changed_weights(tmp_path):
    ours = save_micro(tmp_path / "ours")
    shutil.copytree(ours, tmp_path / "copy")
    path = tmp_path / "copy/model.safetensors"
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)

    verify(ours)
    with pytest.raises(CheckpointError, match="checksum"):
        verify(tmp_path / "copy")
