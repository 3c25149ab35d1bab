"""The keys that the release, and LLaVA below it, write into config.json: which ones must have which value."""

import re
from collections.abc import Mapping
from typing import Any

from transformers import LlamaConfig

from glamm.config.model import ModelConfig
from glamm.errors import CheckpointError
from glamm.models.foreign_keys import shortened, unused_keys
from glamm.models.language.foreign_config import KNOWN_KEYS

_FAMILIES = re.compile(r"^(llava|llama|glamm|lisa)(_llama)?$")
"""Values of `model_type` whose language model is a LLaMA."""

_ACCEPTED: Mapping[str, tuple[object, ...]] = {
    "mm_projector_type": ("mlp2x_gelu",),
    "mm_vision_select_feature": ("patch",),
    "select_feature_type": ("patch",),
    "mm_patch_merge_type": ("flat",),
    "mm_resampler_type": (),
    "image_aspect_ratio": ("square", "pad"),
    "image_grid_pinpoints": (),
    "mm_use_image_start_end": (True,),
    "mm_use_im_patch_token": (),
    "use_image_patch_token": (),
    "with_region": (True,),
    "use_mm_proj": (True,),
    "train_mask_decoder": (True,),
}
"""Keys of which only some values are computed; null, and False where True is not listed, are always accepted.

Upstream: `image_aspect_ratio` is a key of LLaVA that the release does not read: it never pads.
"""

_WITHOUT_EFFECT = frozenset(
    {
        "bbox_token_idx",
        "group_by_modality_length",
        "image_crop_resolution",
        "image_split_resolution",
        "mm_use_im_start_end",
        "mm_vision_module",
        "mm_vision_select_layer",
        "mm_vision_tower",
        "vision_module",
        "vision_tower",
    }
)
_OF_TRAINING = re.compile(r"^(tune|freeze|unfreeze|pretrain|tokenizer)_|_lr$")


def is_release_family(values: Mapping[str, Any]) -> bool:
    """Whether a config.json is one of a LLaMA, by itself or inside of LLaVA or the release."""
    return bool(_FAMILIES.match(str(values.get("model_type", "llama"))))


def check_release_keys(values: Mapping[str, Any], *, is_glamm: bool = True) -> tuple[str, ...]:
    """Check the keys that concern more than the language model.

    Args:
        values: Content of config.json.
        is_glamm: False for a LLaVA from which a GLaMM will be trained: its prompts do not matter.

    Returns:
        `key value` of every key that has no effect here, and of which it is not known whether it has one elsewhere.

    Raises:
        CheckpointError: A key changes the function in a way that is not supported; the message names it and its value.
    """
    if not is_release_family(values):
        raise CheckpointError(
            f"model_type {values['model_type']!r} is not supported: the language model of a release must be a LLaMA"
        )
    for key, accepted in _ACCEPTED.items():
        value = values.get(key)
        is_off = value is False and True not in accepted
        if value is not None and not is_off and value not in accepted:
            raise CheckpointError(f"{key} {shortened(value)} is not supported{_only(accepted)}")
    starts = values.get("mm_use_im_start_end")
    if is_glamm and starts is False and values.get("mm_use_image_start_end") is not True:
        raise CheckpointError(
            "mm_use_im_start_end False is not supported: prompts have <im_start> and <im_end> around the image"
        )
    known = {*KNOWN_KEYS, *_ACCEPTED, *_WITHOUT_EFFECT, *_SIZES}
    stated = {key: value for key, value in values.items() if not _OF_TRAINING.search(key)}
    unused = unused_keys(stated, LlamaConfig, known=known)
    return tuple(f"{key} {shortened(value)}" for key, value in unused.items())


_SIZES = ("num_level_reg_features", "num_reg_features", "out_dim", "mm_hidden_size")


def stated_select_layer(values: Mapping[str, Any]) -> int:
    """The index of the hidden state of CLIP that the language model gets.

    Raises:
        CheckpointError: It is no whole number; the release has one layer, not several.
    """
    layer = values.get("mm_vision_select_layer", -2)
    if not isinstance(layer, int):
        raise CheckpointError(f"mm_vision_select_layer {shortened(layer)} is not supported")
    return layer


def check_release_sizes(values: Mapping[str, Any], config: ModelConfig) -> None:
    """Check the sizes of config.json against those that follow from the tensors.

    Raises:
        CheckpointError: They differ.
    """
    expected = {
        "num_level_reg_features": config.region_encoder.num_levels,
        "num_reg_features": config.region_encoder.num_levels,
        "out_dim": config.grounding_encoder.out_channels,
        "mm_hidden_size": config.global_encoder.hidden_size,
    }
    for key, size in expected.items():
        if values.get(key) not in (None, size):
            raise CheckpointError(
                f"{key} {shortened(values[key])} does not fit the weights, which have {size}"
            )


def _only(accepted: tuple[object, ...]) -> str:
    return f" (only {', '.join(map(repr, accepted))})" if accepted else ""
