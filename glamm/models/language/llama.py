"""The language model: a LLaMA built from our configuration."""

from transformers import LlamaConfig, LlamaForCausalLM

from glamm.config.model import LanguageModelConfig


def build_language_model(config: LanguageModelConfig, *, eos_token_id: int) -> LlamaForCausalLM:
    """Build a LLaMA with random weights."""
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=config.vocab_size,
            hidden_size=config.hidden_size,
            intermediate_size=config.intermediate_size,
            num_hidden_layers=config.num_layers,
            num_attention_heads=config.num_heads,
            hidden_act=config.hidden_act,
            rms_norm_eps=config.rms_norm_eps,
            max_position_embeddings=config.max_positions,
            rope_parameters={"rope_type": "default", "rope_theta": config.rope_theta},
            tie_word_embeddings=False,
            eos_token_id=eos_token_id,
        )
    )
