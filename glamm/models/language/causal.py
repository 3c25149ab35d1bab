"""The language model: LLaMA, Qwen 2 or Qwen 3 of transformers, built from our configuration."""

from typing import Any, TypeAlias

import torch
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    LlamaForCausalLM,
    PreTrainedConfig,
    Qwen2ForCausalLM,
    Qwen3ForCausalLM,
)
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from glamm.config.hf_names import (
    LANGUAGE_NAMES,
    ROPE_SCALING_NAMES,
    from_hugging_face,
    to_hugging_face,
)
from glamm.config.model import LanguageModelConfig, RopeScalingConfig
from glamm.errors import CheckpointError
from glamm.models.computed_buffers import ComputedBuffers

LanguageModel: TypeAlias = LlamaForCausalLM | Qwen2ForCausalLM | Qwen3ForCausalLM
"""A transformer `model` with a head `lm_head`."""

_ARCHITECTURES = ("llama", "qwen2", "qwen3")
_EMBEDDING, _HEAD = "model.embed_tokens.weight", "lm_head.weight"


def build_language_model(config: LanguageModelConfig, *, eos_token_id: int) -> LanguageModel:
    """Build a language model with random weights.

    The state dict does not contain a head that is tied to the embedding, so that every weight is saved once.

    Args:
        config: Sizes and family.
        eos_token_id: The token that ends an answer.
    """
    explicit = config.model_copy(
        update={
            "num_key_value_heads": config.num_key_value_heads or config.num_heads,
            "head_dim": config.head_dim or config.hidden_size // config.num_heads,
        }
    )
    model = AutoModelForCausalLM.from_config(
        AutoConfig.for_model(
            explicit.architecture,
            rope_parameters=_rope_parameters(config),
            bos_token_id=None,
            eos_token_id=eos_token_id,
            **to_hugging_face(explicit, LANGUAGE_NAMES),
        )
    )
    model.model.rotary_emb = RotaryEmbedding(model.config)
    if config.tie_embeddings:
        model.register_state_dict_post_hook(_remove_tied_head)
        model.register_load_state_dict_pre_hook(_add_tied_head)
        model.register_load_state_dict_post_hook(_tie_head)
    return model


class RotaryEmbedding(ComputedBuffers, LlamaRotaryEmbedding):
    """The rotary position embedding of all families, which have the same; its frequencies stay in float32.

    Args:
        config: Configuration of the language model, of any family.
    """

    def compute_buffers(self, device: torch.device | str | None = None) -> None:
        """Compute the frequencies, those of a model that has not seen a long text yet."""
        with torch.device(device or torch.get_default_device()):
            new = LlamaRotaryEmbedding(self.config)
        self.inv_freq, self.original_inv_freq = new.inv_freq, new.original_inv_freq
        self.max_seq_len_cached = new.max_seq_len_cached


def to_language_config(theirs: PreTrainedConfig) -> LanguageModelConfig:
    """Translate a configuration of transformers into ours.

    Args:
        theirs: Configuration of a LLaMA, Qwen 2 or Qwen 3.

    Raises:
        CheckpointError: The model is of another family, or uses a feature that is not supported.
    """
    values: dict[str, Any] = theirs.to_dict()
    family = values.get("model_type")
    if family not in _ARCHITECTURES:
        raise CheckpointError(
            f"language models of type {family} are not supported; supported are {', '.join(_ARCHITECTURES)}"
        )
    unknown = [name for name in ("mlp_bias", "use_sliding_window") if values.get(name)]
    if family != "qwen2" and values.get("attention_bias"):
        unknown.append("attention_bias")
    if unknown:
        raise CheckpointError(f"{family} models with {', '.join(unknown)} are not supported")
    rope = values["rope_parameters"]
    return LanguageModelConfig(
        architecture=family,
        rope_theta=rope["rope_theta"],
        rope_scaling=_rope_scaling(rope),
        **from_hugging_face(values, LANGUAGE_NAMES),
    )


def _rope_parameters(config: LanguageModelConfig) -> dict[str, Any]:
    scaling = config.rope_scaling
    if scaling is None:
        return {"rope_type": "default", "rope_theta": config.rope_theta}
    return {
        "rope_type": "llama3",
        "rope_theta": config.rope_theta,
        **to_hugging_face(scaling, ROPE_SCALING_NAMES),
    }


def _rope_scaling(rope: dict[str, Any]) -> RopeScalingConfig | None:
    kind = rope.get("rope_type", "default")
    if kind == "default":
        return None
    if kind != "llama3":
        raise CheckpointError(
            f"rotary embeddings of type {kind} are not supported; supported are default and llama3"
        )
    return RopeScalingConfig(**from_hugging_face(rope, ROPE_SCALING_NAMES))


def _remove_tied_head(
    _: LanguageModel, weights: dict[str, Tensor], prefix: str, __: object
) -> None:
    weights.pop(prefix + _HEAD, None)


def _add_tied_head(_: LanguageModel, weights: dict[str, Tensor], prefix: str, *__: object) -> None:
    if prefix + _EMBEDDING in weights:
        weights.setdefault(prefix + _HEAD, weights[prefix + _EMBEDDING])


def _tie_head(model: LanguageModel, _: object) -> None:
    """Assigned tensors replace parameters: head and embedding would be two."""
    model.lm_head.weight = model.model.embed_tokens.weight
