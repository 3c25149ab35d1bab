"""Write a model as the release does: a Hugging Face folder in shards, its CLIP apart."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from glamm.checkpoints.load_foreign import OUR_CONFIG
from glamm.checkpoints.name_maps.lora import LoraWeights
from glamm.checkpoints.name_maps.official import into_official, to_official
from glamm.checkpoints.store import write_weights
from glamm.checkpoints.weight_files import SAFETENSORS_INDEX
from glamm.config.model import ModelConfig
from glamm.models.glamm import GLaMM
from glamm.text.tokenizer import Tokenizer, tokenizer_file_name

CLIP_FOLDER, ADAPTER_FOLDER = "clip", "adapter"
DEFAULT_SHARD_BYTES = 5 << 30
_TOWER = "model.vision_tower.vision_tower."


def write_release(
    model: GLaMM, tokenizer: Tokenizer, folder: Path, *, shard_bytes: int = DEFAULT_SHARD_BYTES
) -> list[Path]:
    """Write config.json, shards with an index, the tokenizer, and CLIP in a folder of its own, as the release has it.

    Args:
        model: A LLaMA with CLIP and SAM.
        tokenizer: The model's.
        folder: Is made; must be empty or not there.
        shard_bytes: A file holds at most so much, or one tensor.

    Returns:
        The weight files.

    Raises:
        CheckpointError: A tensor has no name in the release.
        HostError: The disk is full.
    """
    folder.mkdir(parents=True, exist_ok=True)
    official = into_official(model.state_dict(), model.config)
    tower = {
        name.removeprefix(_TOWER): value
        for name, value in official.items()
        if name.startswith(_TOWER)
    }
    rest = {name: value for name, value in official.items() if not name.startswith(_TOWER)}
    written = list(_write_shards(rest, folder, shard_bytes))
    written.append(_write_clip(tower, model.config, folder / CLIP_FOLDER))
    _write_json(folder / "config.json", release_config(model.config, _torch_dtype(model)))
    (folder / tokenizer_file_name(tokenizer.model)).write_bytes(tokenizer.model)
    return written


def write_adapter(lora: LoraWeights, folder: Path) -> Path:
    """Write low-rank weights as peft reads them beside the release's language model."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {
        f"base_model.model.{to_official(place + '.lora_' + side + '.weight')}": value
        for place, pair in lora.pairs().items()
        for side, value in zip("AB", pair, strict=True)
    }
    path = folder / "adapter_model.safetensors"
    write_weights(weights, path)
    places = {place.rpartition(".")[2] for place in lora.pairs()}
    settings = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": lora.rank,
        "lora_alpha": lora.alpha,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": sorted(places),
    }
    _write_json(folder / "adapter_config.json", settings)
    return path


def release_config(config: ModelConfig, dtype: str) -> dict[str, Any]:
    """The release's keys of config.json, and our own configuration for a way back without guessing."""
    language, region = config.language_model, config.region_encoder
    return {
        "architectures": ["GLaMMForCausalLM"],
        "model_type": "llava",
        "hidden_size": language.hidden_size,
        "intermediate_size": language.intermediate_size,
        "num_hidden_layers": language.num_layers,
        "num_attention_heads": language.num_heads,
        "num_key_value_heads": language.num_key_value_heads or language.num_heads,
        "hidden_act": language.hidden_act,
        "rms_norm_eps": language.rms_norm_eps,
        "rope_theta": language.rope_theta,
        "max_position_embeddings": language.max_positions,
        "vocab_size": language.vocab_size,
        "tie_word_embeddings": language.tie_embeddings,
        "pad_token_id": config.special_tokens.pad,
        "bos_token_id": config.special_tokens.bos,
        "eos_token_id": config.special_tokens.eos,
        "mm_hidden_size": config.global_encoder.hidden_size,
        "mm_vision_select_layer": config.global_encoder.select_layer,
        "mm_vision_tower": CLIP_FOLDER,
        "num_level_reg_features": region.num_levels,
        "num_reg_features": region.num_levels,
        "with_region": True,
        "out_dim": config.grounding_encoder.out_channels,
        "train_mask_decoder": True,
        "torch_dtype": dtype,
        OUR_CONFIG: config.model_dump(mode="json"),
    }


def _torch_dtype(model: GLaMM) -> str:
    """Name of the weights' type as Hugging Face writes it."""
    return str(next(model.parameters()).dtype).removeprefix("torch.")


def _write_shards(weights: Mapping[str, Tensor], folder: Path, shard_bytes: int) -> Iterator[Path]:
    shards: list[dict[str, Tensor]] = [{}]
    used = 0
    for name, value in weights.items():
        size = value.numel() * value.element_size()
        if shards[-1] and used + size > shard_bytes:
            shards.append({})
            used = 0
        shards[-1][name] = value
        used += size
    placed: dict[str, str] = {}
    for number, shard in enumerate(shards, start=1):
        path = folder / f"model-{number:05}-of-{len(shards):05}.safetensors"
        write_weights(shard, path)
        placed |= dict.fromkeys(shard, path.name)
        yield path
    total = sum(value.numel() * value.element_size() for value in weights.values())
    index = {"metadata": {"total_size": total}, "weight_map": placed}
    _write_json(folder / SAFETENSORS_INDEX, index)


def _write_clip(weights: Mapping[str, Tensor], config: ModelConfig, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    encoder = config.global_encoder
    _write_json(
        folder / "config.json",
        {
            "architectures": ["CLIPVisionModel"],
            "model_type": "clip_vision_model",
            "image_size": encoder.image_size,
            "patch_size": encoder.patch_size,
            "hidden_size": encoder.hidden_size,
            "intermediate_size": encoder.intermediate_size,
            "num_hidden_layers": encoder.num_layers,
            "num_attention_heads": encoder.num_heads,
            "hidden_act": encoder.hidden_act,
            "layer_norm_eps": encoder.layer_norm_eps,
        },
    )
    path = folder / "model.safetensors"
    is_stored = {
        name: value for name, value in weights.items() if not name.endswith("position_ids")
    }
    write_weights(is_stored, path)
    return path


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n", encoding="utf-8")
