"""The language model, built from our configuration: LLaMA, Qwen and others with the same parts."""

from typing import Any, TypeAlias

from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    LlamaForCausalLM,
    PreTrainedConfig,
    Qwen2ForCausalLM,
    Qwen3ForCausalLM,
)

from glamm.config.model import LanguageModelConfig, RopeScalingConfig
from glamm.errors import CheckpointError

LanguageModel: TypeAlias = LlamaForCausalLM | Qwen2ForCausalLM | Qwen3ForCausalLM
"""A transformer `model` with a head `lm_head`."""

_ARCHITECTURES = ("llama", "qwen2", "qwen3")
_EMBEDDING, _HEAD = "model.embed_tokens.weight", "lm_head.weight"


def build_language_model(config: LanguageModelConfig, *, eos_token_id: int) -> LanguageModel:
    """Build a language model with random weights.

    A head that is tied to the embedding is not in the state dict, so that every weight is saved once.
    """
    model = AutoModelForCausalLM.from_config(
        AutoConfig.for_model(
            config.architecture,
            vocab_size=config.vocab_size,
            hidden_size=config.hidden_size,
            intermediate_size=config.intermediate_size,
            num_hidden_layers=config.num_layers,
            num_attention_heads=config.num_heads,
            num_key_value_heads=config.num_key_value_heads or config.num_heads,
            head_dim=config.head_dim or config.hidden_size // config.num_heads,
            hidden_act=config.hidden_act,
            rms_norm_eps=config.rms_norm_eps,
            max_position_embeddings=config.max_positions,
            rope_parameters=_rope_parameters(config),
            tie_word_embeddings=config.tie_embeddings,
            bos_token_id=None,
            eos_token_id=eos_token_id,
        )
    )
    if config.tie_embeddings:
        model.register_state_dict_post_hook(_leave_out_tied_head)
        model.register_load_state_dict_pre_hook(_put_in_tied_head)
    return model


def describe_language_model(theirs: PreTrainedConfig) -> LanguageModelConfig:
    """Translate a configuration of transformers.

    Args:
        theirs: Of a LLaMA, Qwen 2 or Qwen 3.

    Raises:
        CheckpointError: It is of another family, or has a feature that ours lacks.
    """
    values: dict[str, Any] = theirs.to_dict()
    family = values.get("model_type")
    if family not in _ARCHITECTURES:
        raise CheckpointError(
            f"a language model of type {family}: {', '.join(_ARCHITECTURES)} can be read"
        )
    unknown = [name for name in ("mlp_bias", "use_sliding_window") if values.get(name)]
    if family != "qwen2" and values.get("attention_bias"):
        unknown.append("attention_bias")
    if unknown:
        raise CheckpointError(f"a {family} with {', '.join(unknown)}: this is not supported")
    rope = values["rope_parameters"]
    return LanguageModelConfig(
        architecture=family,
        vocab_size=values["vocab_size"],
        hidden_size=values["hidden_size"],
        intermediate_size=values["intermediate_size"],
        num_layers=values["num_hidden_layers"],
        num_heads=values["num_attention_heads"],
        num_key_value_heads=values.get("num_key_value_heads"),
        head_dim=values.get("head_dim"),
        hidden_act=values["hidden_act"],
        rms_norm_eps=values["rms_norm_eps"],
        rope_theta=rope["rope_theta"],
        rope_scaling=_rope_scaling(rope),
        max_positions=values["max_position_embeddings"],
        tie_embeddings=values["tie_word_embeddings"],
    )


def _rope_parameters(config: LanguageModelConfig) -> dict[str, Any]:
    scaling = config.rope_scaling
    if scaling is None:
        return {"rope_type": "default", "rope_theta": config.rope_theta}
    return {
        "rope_type": "llama3",
        "rope_theta": config.rope_theta,
        "factor": scaling.factor,
        "low_freq_factor": scaling.low_freq_factor,
        "high_freq_factor": scaling.high_freq_factor,
        "original_max_position_embeddings": scaling.original_max_positions,
    }


def _rope_scaling(rope: dict[str, Any]) -> RopeScalingConfig | None:
    kind = rope.get("rope_type", "default")
    if kind == "default":
        return None
    if kind != "llama3":
        raise CheckpointError(f"rotary embeddings of type {kind}: default and llama3 can be read")
    return RopeScalingConfig(
        factor=rope["factor"],
        low_freq_factor=rope["low_freq_factor"],
        high_freq_factor=rope["high_freq_factor"],
        original_max_positions=rope["original_max_position_embeddings"],
    )


def _leave_out_tied_head(
    _: LanguageModel, weights: dict[str, Tensor], prefix: str, __: object
) -> None:
    weights.pop(prefix + _HEAD, None)


def _put_in_tied_head(
    _: LanguageModel, weights: dict[str, Tensor], prefix: str, *__: object
) -> None:
    if prefix + _EMBEDDING in weights:
        weights.setdefault(prefix + _HEAD, weights[prefix + _EMBEDDING])
