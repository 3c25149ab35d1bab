"""Tensor names of the release and ours: a bijection."""

import math
import re
from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from glamm.config.model import ModelConfig
from glamm.errors import CheckpointError
from glamm.models.language.causal import rotary_frequencies

# (theirs, ours): the first match is used
_PREFIXES = (
    ("lm_head.", "language_model.lm_head."),
    ("model.embed_tokens.", "language_model.model.embed_tokens."),
    ("model.layers.", "language_model.model.layers."),
    ("model.norm.", "language_model.model.norm."),
    ("model.mm_projector.", "image_projector."),
    ("model.region_encoder.mlvl_fuse.input_conv.", "region_encoder.fusion.input_convs."),
    ("model.region_encoder.mlvl_fuse.fuse_convs.", "region_encoder.fusion.rounds."),
    ("model.region_encoder.roi_align.pconvs.", "region_encoder.level_convs."),
    ("model.region_encoder.roi_align.pos_embedd.", "region_encoder.position_embedding."),
    ("model.region_encoder.roi_align.flatten_linear.", "region_encoder.flatten_projection."),
    ("model.region_encoder.roi_align.updims.", "region_encoder.output_projection."),
    ("model.grounding_encoder.image_encoder.", "grounding_encoder.vit."),
    ("model.grounding_encoder.prompt_encoder.", "prompt_encoder."),
    ("model.grounding_encoder.mask_decoder.", "mask_decoder."),
    ("model.text_hidden_fcs.0.", "text_to_mask_projector."),
    ("model.vision_tower.vision_tower.vision_model.", "global_encoder.clip."),
)
OUR_CONFIG = "glamm_config"
"""Key of a config.json in the release's layout that holds our whole configuration; only files written here have it."""

_FUSION_ROUNDS = "region_encoder.fusion.rounds."
_DERIVED = re.compile(r"(\.rotary_emb\.inv_freq|\.embeddings\.position_ids)$")
"""Tensors that the release stores although they can be computed from the configuration."""

_LLAMA_ROPE_THETA = 10_000.0

_INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}
"""Types by size in bytes: neighboring numbers of a floating-point type are neighboring integers."""

_FLOAT32_ERROR = 1e-6
"""Largest relative error of a frequency that was computed in float32."""

_MOST_DIGITS = 10


def is_derived(name: str) -> bool:
    """Whether a tensor of the release can be computed from the configuration."""
    return _DERIVED.search(name) is not None


def to_ours(name: str) -> str:
    """Translate a name of the release.

    Raises:
        CheckpointError: The release has no such tensor.
    """
    for theirs, ours in _PREFIXES:
        if name.startswith(theirs):
            return _rename_norm(ours + name.removeprefix(theirs), ".gn.", ".norm.")
    raise CheckpointError(f"{name} is not a tensor of the release")


def to_official(name: str) -> str:
    """Translate one of our names.

    Raises:
        CheckpointError: Our model has no such tensor.
    """
    for theirs, ours in _PREFIXES:
        if name.startswith(ours):
            renamed = _rename_norm(name, ".norm.", ".gn.")
            return theirs + renamed.removeprefix(ours)
    raise CheckpointError(f"{name} is not a tensor of ours")


def _rename_norm(ours: str, old: str, new: str) -> str:
    return ours.replace(old, new) if ours.startswith(_FUSION_ROUNDS) else ours


def from_official(weights: Mapping[str, Tensor], config: ModelConfig) -> dict[str, Tensor]:
    """Rename the tensors of the release, and convert them to float32.

    Args:
        weights: Under the names of the release, in any floating-point type (conformance sets use float8).
        config: Its rotary embedding must equal the stored one.

    Raises:
        CheckpointError: A name is unknown, or the stored rotary embedding differs from the configuration's.
    """
    theta = config.language_model.rope_theta
    for name, value in weights.items():
        if name.endswith("inv_freq"):
            low, high = _bases_of(value)
            if not low <= theta <= high:
                raise CheckpointError(
                    f"{name} does not match rope_theta {theta}: "
                    "set language_model.rope_theta to the base that the weights were trained with"
                )
    return {
        to_ours(name): value.float() if value.is_floating_point() else value
        for name, value in weights.items()
        if not is_derived(name)
    }


def into_official(weights: Mapping[str, Tensor], config: ModelConfig) -> dict[str, Tensor]:
    """Rename our tensors for the release, and add those that it stores although they can be computed.

    The rotary frequencies have the type of the weights, as in the release; except in bfloat16, whose rounding would turn
    the last of a few hundred positions by more than a radian: the release's code uses what it reads.
    """
    renamed = {to_official(name): value for name, value in weights.items()}
    dtype = next((value.dtype for value in weights.values()), torch.float32)
    frequencies = rotary_frequencies(config.language_model).to(
        torch.float32 if dtype is torch.bfloat16 else dtype
    )
    for layer in range(config.language_model.num_layers):
        renamed[f"model.layers.{layer}.self_attn.rotary_emb.inv_freq"] = frequencies.clone()
    positions = torch.arange(config.global_encoder.num_tokens + 1)[None]
    tower = "model.vision_tower.vision_tower.vision_model."
    renamed[f"{tower}embeddings.position_ids"] = positions
    return renamed


def rope_theta_of(frequencies: Float[Tensor, " pairs"] | None) -> float:
    """Compute the rotary base from stored inverse frequencies: entry i of d/2 is base^(-2i/d), rounded to their type.

    Returns:
        The shortest decimal number whose frequencies round to the stored ones; LLaMA's without two frequencies.

    Raises:
        CheckpointError: There is no such base: the frequencies were scaled.
    """
    if frequencies is None or len(frequencies) < 2:
        return _LLAMA_ROPE_THETA
    low, high = _bases_of(frequencies)
    for digits in range(1, _MOST_DIGITS):
        base = float(f"{math.sqrt(low * high):.{digits}g}")
        if low <= base <= high:
            return base
    raise CheckpointError(
        "the stored inverse frequencies are not powers of one base: state rope_theta and the scaling in config.json"
    )


def _bases_of(frequencies: Float[Tensor, " pairs"]) -> tuple[float, float]:
    """The interval of bases whose frequencies round to the stored ones; empty (low > high) if there are none."""
    count = len(frequencies)
    bits = frequencies.contiguous().view(_INTEGERS[frequencies.element_size()])
    below, at, above = (
        (bits + step).view(frequencies.dtype).double().clamp(min=0).tolist() for step in (-1, 0, 1)
    )
    low, high = 0.0, math.inf
    for index in range(1, count):
        smallest = (below[index] + at[index]) / 2 * (1 - _FLOAT32_ERROR)
        largest = (at[index] + above[index]) / 2 * (1 + _FLOAT32_ERROR)
        exponent = -count / index
        low = max(low, largest**exponent)
        high = min(high, smallest**exponent) if smallest > 0 else high
    return (low, high) if at[0] == 1 else (math.inf, 0.0)
