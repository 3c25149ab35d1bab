"""Configurations of transformers' language models, translated into ours: what changes the function is used or refused."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from transformers import LlamaConfig, PreTrainedConfig, Qwen2Config, Qwen3Config

from glamm.config.hf_names import LANGUAGE_NAMES, ROPE_SCALING_NAMES, from_hugging_face
from glamm.config.language import (
    SCALING_FIELDS,
    LanguageArchitecture,
    LanguageModelConfig,
    RopeScalingConfig,
    RopeScalingType,
)
from glamm.errors import CheckpointError
from glamm.models.foreign_keys import check_fields, shortened

LANGUAGE_CLASSES: Mapping[LanguageArchitecture, type[PreTrainedConfig]] = {
    "llama": LlamaConfig,
    "qwen2": Qwen2Config,
    "qwen3": Qwen3Config,
}
"""transformers' class by `model_type`."""

_USED = frozenset(
    {
        *LANGUAGE_NAMES.values(),
        "rope_parameters",
        # these act through `layer_types`
        "layer_types",
        "max_window_layers",
        "sliding_window",
        "use_sliding_window",
    }
)
KNOWN_KEYS = frozenset(
    {"rope_theta", "rope_scaling", "partial_rotary_factor", "original_max_position_embeddings"}
)
"""Keys of older files that are not fields of the class: transformers moves them to `rope_parameters`."""

_ROPE_KEYS = frozenset({"rope_type", "type", "rope_theta"})
_ROPE_WITHOUT_EFFECT = frozenset({"finetuned", "original_max_position_embeddings"})
"""Keys that the original YaRN code wrote, and that transformers reads for some methods only."""


def to_language_config(theirs: PreTrainedConfig) -> LanguageModelConfig:
    """Translate a configuration of transformers into ours.

    Args:
        theirs: Configuration of a LLaMA, Qwen 2 or Qwen 3.

    Raises:
        CheckpointError: The model is of another family, or a key changes the function in a way that is not supported; the
            message names the key and its value.
    """
    families: Mapping[str, LanguageArchitecture] = {name: name for name in LANGUAGE_CLASSES}
    family = families.get(theirs.model_type)
    if family is None:
        raise CheckpointError(
            f"language models of type {theirs.model_type} are not supported; supported are "
            f"{', '.join(LANGUAGE_CLASSES)}"
        )
    theirs.standardize_rope_params()  # as transformers does when it builds the model
    values: dict[str, Any] = theirs.to_dict()
    check_fields(theirs, used=_USED)
    _check_windows(theirs, values)
    rope: dict[str, Any] = values["rope_parameters"]
    own = from_hugging_face(values, LANGUAGE_NAMES)
    if family == "qwen2":  # its biases do not depend on the configuration
        own["attention_bias"] = False
    if family != "llama":
        own["mlp_bias"] = False
    try:
        return LanguageModelConfig(
            architecture=family,
            rope_theta=rope["rope_theta"],
            rope_scaling=_rope_scaling(rope, max_positions=values["max_position_embeddings"]),
            **own,
        )
    except ValidationError as error:
        raise CheckpointError("; ".join(_describe(fault) for fault in error.errors())) from error


def to_rope_parameters(config: LanguageModelConfig) -> dict[str, Any]:
    """The `rope_parameters` of transformers for a configuration of ours."""
    if config.rope_scaling is None:
        return {"rope_type": "default", "rope_theta": config.rope_theta}
    values = config.rope_scaling.model_dump(mode="json", exclude_none=True)
    scaling = {ROPE_SCALING_NAMES[name]: value for name, value in values.items()}
    return {**scaling, "rope_theta": config.rope_theta}


def _check_windows(theirs: PreTrainedConfig, values: Mapping[str, Any]) -> None:
    windows = {kind for kind in values.get("layer_types") or () if kind != "full_attention"}
    if theirs.model_type != "llama" and windows:
        raise CheckpointError(
            f"layers of {', '.join(sorted(windows))} (use_sliding_window {values.get('use_sliding_window')}, "
            f"sliding_window {values.get('sliding_window')}, layer_types) are not supported: every layer must attend to "
            "the whole text"
        )


def _rope_scaling(rope: Mapping[str, Any], *, max_positions: int) -> RopeScalingConfig | None:
    stated = rope.get("rope_type", "default")
    methods: Mapping[str, RopeScalingType] = {name: name for name in SCALING_FIELDS}
    method = methods.get(stated)
    if method is None and stated != "default":
        raise CheckpointError(f"rope_parameters: rope_type {shortened(stated)} is not supported")
    used = {ROPE_SCALING_NAMES[name] for name in SCALING_FIELDS[method]} if method else set[str]()
    for key, value in rope.items():
        is_neutral = value is None or (key == "partial_rotary_factor" and value == 1)
        if key not in used | _ROPE_KEYS | _ROPE_WITHOUT_EFFECT and not is_neutral:
            raise CheckpointError(
                f"rope_parameters: {key} {shortened(value)} is not supported for rope_type {stated}"
            )
    if method is None:
        return None
    fields = {
        name: rope[theirs]
        for name, theirs in ROPE_SCALING_NAMES.items()
        if theirs in used and theirs in rope
    }
    if method == "yarn" and fields.get("factor") is None:
        fields["factor"] = max_positions / fields["original_max_positions"]
    return RopeScalingConfig(type=method, **fields)


def _describe(fault: ErrorDetails) -> str:
    field = ".".join(str(key) for key in fault["loc"])
    return f"{field}: {fault['msg']}" if field else str(fault["msg"])
