"""Hugging Face's names for our configuration fields: one table per model family, used in both directions."""

from collections.abc import Mapping
from typing import Any

from glamm.config.base import Config

VISION_NAMES: Mapping[str, str] = {
    "image_size": "image_size",
    "patch_size": "patch_size",
    "hidden_size": "hidden_size",
    "intermediate_size": "intermediate_size",
    "num_layers": "num_hidden_layers",
    "num_heads": "num_attention_heads",
    "hidden_act": "hidden_act",
    "layer_norm_eps": "layer_norm_eps",
}
"""Our field name to theirs, for `GlobalEncoderConfig`: CLIPVisionConfig and SiglipVisionConfig."""

LANGUAGE_NAMES: Mapping[str, str] = {
    "vocab_size": "vocab_size",
    "hidden_size": "hidden_size",
    "intermediate_size": "intermediate_size",
    "num_layers": "num_hidden_layers",
    "num_heads": "num_attention_heads",
    "num_key_value_heads": "num_key_value_heads",
    "head_dim": "head_dim",
    "hidden_act": "hidden_act",
    "rms_norm_eps": "rms_norm_eps",
    "max_positions": "max_position_embeddings",
    "attention_bias": "attention_bias",
    "mlp_bias": "mlp_bias",
    "tie_embeddings": "tie_word_embeddings",
}
"""Likewise for `LanguageModelConfig`: LlamaConfig, Qwen2Config and Qwen3Config."""

ROPE_SCALING_NAMES: Mapping[str, str] = {
    "type": "rope_type",
    "factor": "factor",
    "low_freq_factor": "low_freq_factor",
    "high_freq_factor": "high_freq_factor",
    "original_max_positions": "original_max_position_embeddings",
    "attention_factor": "attention_factor",
    "beta_fast": "beta_fast",
    "beta_slow": "beta_slow",
    "mscale": "mscale",
    "mscale_all_dim": "mscale_all_dim",
    "truncate": "truncate",
    "short_factor": "short_factor",
    "long_factor": "long_factor",
}
"""Likewise for `RopeScalingConfig`: `rope_parameters`."""


def to_hugging_face(config: Config, names: Mapping[str, str]) -> dict[str, Any]:
    """The fields of a configuration under their Hugging Face names."""
    return {theirs: getattr(config, ours) for ours, theirs in names.items()}


def from_hugging_face(values: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Those values of a Hugging Face configuration that have a name of ours, under that name."""
    return {ours: values[theirs] for ours, theirs in names.items() if theirs in values}
