"""Write a model in the layout of the release: a Hugging Face folder with weights in shards, and CLIP in its own folder."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from glamm.checkpoints.lora import LoraWeights
from glamm.checkpoints.name_maps.official import OUR_CONFIG, into_official, to_official
from glamm.checkpoints.release_tokenizer import write_tokenizer
from glamm.checkpoints.tensor_file import WrittenFile, write_weights
from glamm.checkpoints.weight_files import SAFETENSORS_INDEX
from glamm.config.hf_names import LANGUAGE_NAMES, VISION_NAMES, to_hugging_face
from glamm.config.language import LanguageModelConfig
from glamm.config.model import ModelConfig
from glamm.files import write_text
from glamm.models.glamm import GLaMM
from glamm.models.language.foreign_config import to_rope_parameters
from glamm.progress import NO_PROGRESS, Progress
from glamm.text.tokenizer import Tokenizer

CLIP_FOLDER, ADAPTER_FOLDER = "clip", "adapter"
DEFAULT_SHARD_BYTES = 5 << 30
_TOWER = "model.vision_tower.vision_tower."

_RELEASE_LANGUAGE_NAMES = {
    ours: theirs for ours, theirs in LANGUAGE_NAMES.items() if ours != "head_dim"
}
"""The release was written before LlamaConfig had `head_dim`."""


def write_release(
    model: GLaMM,
    tokenizer: Tokenizer,
    folder: Path,
    *,
    shard_bytes: int = DEFAULT_SHARD_BYTES,
    progress: Progress = NO_PROGRESS,
) -> list[WrittenFile]:
    """Write config.json, shards with an index, the tokenizer, and CLIP in a folder of its own.

    Args:
        model: With LLaMA, CLIP and SAM.
        tokenizer: The one that the model was trained with.
        folder: Empty, or to be created.
        shard_bytes: Largest size of a file, unless a single tensor is larger.
        progress: Advanced by the bytes that are written.

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
    written = list(_write_shards(rest, folder, shard_bytes, progress))
    written.append(_write_clip(tower, model.config, folder / CLIP_FOLDER, progress))
    dtype = str(next(model.parameters()).dtype).removeprefix("torch.")
    _write_json(folder / "config.json", release_config(model.config, dtype))
    write_tokenizer(tokenizer, folder, max_length=model.config.language_model.max_positions)
    return written


def write_adapter(lora: LoraWeights, folder: Path) -> WrittenFile:
    """Write LoRA weights in the layout of peft, for the language model of the release."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {
        f"base_model.model.{to_official(name)}": value for name, value in lora.tensors.items()
    }
    written = write_weights(weights, folder / "adapter_model.safetensors")
    names = {
        module: to_official(f"{module}.weight").removesuffix(".weight")
        for module in lora.settings.ranks
    }
    settings = lora.settings.to_peft(names)
    settings.task_type = "CAUSAL_LM"
    settings.inference_mode = True
    settings.save_pretrained(str(folder))
    return written


def release_config(config: ModelConfig, dtype: str) -> dict[str, Any]:
    """Content of config.json: the keys of the release, and our whole configuration, from which `load_sources` restores it."""
    language, region = config.language_model, config.region_encoder
    return {
        "architectures": ["GLaMMForCausalLM"],
        "model_type": "llava",
        **to_hugging_face(language, _RELEASE_LANGUAGE_NAMES),
        "num_key_value_heads": language.num_key_value_heads or language.num_heads,
        **({} if language.head_dim is None else {"head_dim": language.head_dim}),
        "rope_theta": language.rope_theta,
        "rope_scaling": _rope_scaling(language),
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


def _rope_scaling(language: LanguageModelConfig) -> dict[str, Any] | None:
    """The key of transformers 4, which named the method `type` first and `rope_type` later."""
    if language.rope_scaling is None:
        return None
    parameters = to_rope_parameters(language)
    del parameters["rope_theta"]
    return {**parameters, "type": parameters["rope_type"]}


def _write_shards(
    weights: Mapping[str, Tensor], folder: Path, shard_bytes: int, progress: Progress
) -> Iterator[WrittenFile]:
    shards: list[dict[str, Tensor]] = [{}]
    used = 0
    for name, value in weights.items():
        size = value.nbytes
        if shards[-1] and used + size > shard_bytes:
            shards.append({})
            used = 0
        shards[-1][name] = value
        used += size
    weight_map: dict[str, str] = {}
    for number, shard in enumerate(shards, start=1):
        path = folder / f"model-{number:05}-of-{len(shards):05}.safetensors"
        yield write_weights(shard, path, progress=progress)
        weight_map |= dict.fromkeys(shard, path.name)
    total = sum(value.nbytes for value in weights.values())
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    _write_json(folder / SAFETENSORS_INDEX, index)


def _write_clip(
    weights: Mapping[str, Tensor], config: ModelConfig, folder: Path, progress: Progress
) -> WrittenFile:
    folder.mkdir(parents=True, exist_ok=True)
    encoder = config.global_encoder
    _write_json(
        folder / "config.json",
        {
            "architectures": ["CLIPVisionModel"],
            "model_type": "clip_vision_model",
            **to_hugging_face(encoder, VISION_NAMES),
        },
    )
    stored = {name: value for name, value in weights.items() if not name.endswith("position_ids")}
    return write_weights(stored, folder / "model.safetensors", progress=progress)


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    write_text(path, json.dumps(value, indent=2, sort_keys=True) + "\n")
