"""The language model: LLaMA, Qwen 2 or Qwen 3 of transformers, built from our configuration."""

from typing import TypeAlias, cast

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedConfig,
    Qwen2ForCausalLM,
    Qwen3ForCausalLM,
)
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from glamm.config.hf_names import LANGUAGE_NAMES, to_hugging_face
from glamm.config.language import LanguageModelConfig
from glamm.models.computed_buffers import ComputedBuffers
from glamm.models.language.foreign_config import to_rope_parameters

LanguageModel: TypeAlias = LlamaForCausalLM | Qwen2ForCausalLM | Qwen3ForCausalLM
"""A transformer `model` with a head `lm_head`."""

_EMBEDDING, _HEAD = "model.embed_tokens.weight", "lm_head.weight"


def build_language_model(config: LanguageModelConfig, *, eos_token_id: int) -> LanguageModel:
    """Build a language model with random weights.

    The state dict does not contain a head that is tied to the embedding, so that every weight is saved once.

    Args:
        config: Sizes and family.
        eos_token_id: The token that ends an answer.
    """
    model = AutoModelForCausalLM.from_config(_their_config(config, eos_token_id=eos_token_id))
    model.model.rotary_emb = RotaryEmbedding(model.config)
    if config.tie_embeddings:
        model.register_state_dict_post_hook(_remove_tied_head)
        model.register_load_state_dict_pre_hook(_add_tied_head)
        model.register_load_state_dict_post_hook(_tie_head)
    return model


def rotary_frequencies(config: LanguageModelConfig) -> Float[Tensor, " pairs"]:
    """The inverse frequencies of a language model's rotary embedding, scaled, in float32."""
    return RotaryEmbedding(cast("LlamaConfig", _their_config(config))).inv_freq


def _their_config(
    config: LanguageModelConfig, *, eos_token_id: int | None = None
) -> PreTrainedConfig:
    explicit = config.model_copy(
        update={
            "num_key_value_heads": config.num_key_value_heads or config.num_heads,
            "head_dim": config.head_dim or config.hidden_size // config.num_heads,
        }
    )
    return AutoConfig.for_model(
        explicit.architecture,
        rope_parameters=to_rope_parameters(config),
        bos_token_id=None,
        eos_token_id=eos_token_id,
        **to_hugging_face(explicit, LANGUAGE_NAMES),
    )


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
