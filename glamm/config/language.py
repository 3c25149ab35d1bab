"""Sizes and switches of the language model."""

from typing import Literal, TypeAlias

from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from glamm.config.base import Config

LanguageArchitecture: TypeAlias = Literal["llama", "qwen2", "qwen3"]
"""Families of language models; Llama 1 to 3, Vicuna and SmolLM2 are `llama`."""

RopeScalingType: TypeAlias = Literal["llama3", "linear", "dynamic", "yarn", "longrope"]
"""The methods that transformers computes for LLaMA and Qwen, under its names."""

_REQUIRED: dict[RopeScalingType, frozenset[str]] = {
    "llama3": frozenset(
        {"factor", "low_freq_factor", "high_freq_factor", "original_max_positions"}
    ),
    "linear": frozenset({"factor"}),
    "dynamic": frozenset({"factor"}),
    "yarn": frozenset({"factor", "original_max_positions"}),
    "longrope": frozenset({"short_factor", "long_factor", "original_max_positions"}),
}
_OPTIONAL: dict[RopeScalingType, frozenset[str]] = {
    "yarn": frozenset(
        {"attention_factor", "beta_fast", "beta_slow", "mscale", "mscale_all_dim", "truncate"}
    ),
    "longrope": frozenset({"factor", "attention_factor"}),
}


SCALING_FIELDS: dict[RopeScalingType, frozenset[str]] = {
    method: required | _OPTIONAL.get(method, frozenset()) for method, required in _REQUIRED.items()
}
"""The fields of `RopeScalingConfig` that each method uses."""


class RopeScalingConfig(Config):
    """Scaling of the rotary embeddings; transformers computes it, each method from its own fields.

    Args:
        type: `llama3` divides low frequencies; `linear` divides all; `dynamic` raises the base for texts longer than
            `max_positions`; `yarn` interpolates between divided and original ones and scales the attention; `longrope`
            divides each by a factor of its own.
        factor: How much longer the texts are.
        low_freq_factor: llama3: frequencies with waves longer than `original_max_positions / low_freq_factor` are low.
        high_freq_factor: llama3: frequencies with waves shorter than `original_max_positions / high_freq_factor` are kept.
        original_max_positions: Length of the texts in pretraining.
        attention_factor: yarn, longrope: sines and cosines are multiplied by it; None computes it from `factor`.
        beta_fast: yarn: frequencies with more turns than this in the original length are kept; None is 32.
        beta_slow: yarn: frequencies with fewer turns than this are divided; None is 1.
        mscale: yarn: with `mscale_all_dim`, another way to compute `attention_factor`.
        mscale_all_dim: yarn: see `mscale`.
        truncate: yarn: whether the limits are rounded to whole dimensions; None is True.
        short_factor: longrope: divisors of the frequencies, for texts up to the original length.
        long_factor: longrope: divisors for longer texts.
    """

    type: RopeScalingType = "llama3"
    factor: PositiveFloat | None = None
    low_freq_factor: PositiveFloat | None = None
    high_freq_factor: PositiveFloat | None = None
    original_max_positions: PositiveInt | None = None
    attention_factor: NonNegativeFloat | None = None
    beta_fast: PositiveFloat | None = None
    beta_slow: PositiveFloat | None = None
    mscale: float | None = None
    mscale_all_dim: float | None = None
    truncate: bool | None = None
    short_factor: tuple[PositiveFloat, ...] | None = None
    long_factor: tuple[PositiveFloat, ...] | None = None

    @model_validator(mode="after")
    def _check_fields(self) -> "RopeScalingConfig":
        given = {name for name, value in self if value is not None} - {"type"}
        missing = _REQUIRED[self.type] - given
        if missing:
            raise ValueError(f"{self.type} needs {', '.join(sorted(missing))}")
        unused = given - SCALING_FIELDS[self.type]
        if unused:
            raise ValueError(f"{self.type} does not use {', '.join(sorted(unused))}")
        return self


class LanguageModelConfig(Config):
    """A decoder-only language model, by default a LLaMA.

    Args:
        architecture: Model family: decides which projections have a bias, and whether queries and keys are normalized.
        num_key_value_heads: Heads of keys and values, shared by groups of query heads; None uses `num_heads`.
        head_dim: Width of a head; None uses `hidden_size / num_heads`.
        rope_scaling: Scaling of the rotary embeddings; None does not scale.
        max_positions: Length of the longest text.
        attention_bias: The projections of the attention have a bias; those of a `qwen2` always have theirs.
        mlp_bias: The projections of the feed-forward layers have a bias; only of a `llama`.
        tie_embeddings: The output head uses the weights of the input embedding; the state dict has them once.
    """

    architecture: LanguageArchitecture = "llama"
    vocab_size: PositiveInt
    hidden_size: PositiveInt = 4096
    intermediate_size: PositiveInt = 11008
    num_layers: PositiveInt = 32
    num_heads: PositiveInt = 32
    num_key_value_heads: PositiveInt | None = None
    head_dim: PositiveInt | None = None
    hidden_act: str = "silu"
    rms_norm_eps: PositiveFloat = 1e-5
    rope_theta: PositiveFloat = 10_000.0
    rope_scaling: RopeScalingConfig | None = None
    max_positions: PositiveInt = 2048
    attention_bias: bool = False
    mlp_bias: bool = False
    tie_embeddings: bool = False

    @property
    def max_cached_positions(self) -> int:
        """The longest text whose keys can be kept while it grows.

        Longer ones change the rotary frequencies of all positions: `dynamic` beyond `max_positions`, `longrope` beyond
        the original length.
        """
        scaling = self.rope_scaling
        if scaling is None or scaling.type != "longrope":
            return self.max_positions
        return min(self.max_positions, scaling.original_max_positions or self.max_positions)

    @model_validator(mode="after")
    def _check_heads(self) -> "LanguageModelConfig":
        if self.num_key_value_heads and self.num_heads % self.num_key_value_heads:
            raise ValueError(
                f"num_heads {self.num_heads} must be a multiple of num_key_value_heads {self.num_key_value_heads}"
            )
        if self.head_dim is None and self.hidden_size % self.num_heads:
            raise ValueError(
                f"hidden_size {self.hidden_size} must be a multiple of num_heads {self.num_heads}, or set head_dim"
            )
        return self

    @model_validator(mode="after")
    def _check_frequencies(self) -> "LanguageModelConfig":
        scaling = self.rope_scaling
        count = (self.head_dim or self.hidden_size // self.num_heads) // 2
        for name in ("short_factor", "long_factor"):
            factors = getattr(scaling, name, None)
            if factors is not None and len(factors) != count:
                raise ValueError(
                    f"rope_scaling.{name} has {len(factors)} values for {count} frequencies"
                )
        return self
