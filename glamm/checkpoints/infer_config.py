"""Infer the configuration of foreign weights from their shapes and their config.json."""

from collections.abc import Mapping
from typing import Any

from transformers import (
    CLIPConfig,
    CLIPVisionConfig,
    LlamaConfig,
    PreTrainedConfig,
    SiglipConfig,
    SiglipVisionConfig,
)

from glamm.config.hf_names import LANGUAGE_NAMES, VISION_NAMES, from_hugging_face
from glamm.config.model import (
    CompatConfig,
    GlobalEncoderConfig,
    GroundingEncoderConfig,
    LanguageModelConfig,
    MaskDecoderConfig,
    ModelConfig,
    RegionEncoderConfig,
)
from glamm.errors import CheckpointError
from glamm.models.foreign_keys import (
    build_config,
    check_fields,
    refuse_quantization,
    unused_keys,
)
from glamm.models.language.foreign_config import to_language_config

Shapes = Mapping[str, tuple[int, ...]]
"""Shapes of tensors, under our names."""

_MASK_DECODER_HEADS = 8
"""Of every published SAM; it cannot be inferred from shapes."""

_VISION_CLASSES: Mapping[str, type[PreTrainedConfig]] = {
    "clip": CLIPConfig,
    "clip_vision_model": CLIPVisionConfig,
    "siglip": SiglipConfig,
    "siglip_vision_model": SiglipVisionConfig,
}
"""transformers' class by `model_type`."""

_VISION_KEYS_WITHOUT_EFFECT = frozenset({"projection_dim", "vision_use_head"})
"""They belong to parts that are not used."""


def infer_global_encoder(
    config: Mapping[str, Any], *, select_layer: int = -2
) -> GlobalEncoderConfig:
    """From config.json of CLIP or SigLIP, of the whole model or of its vision part.

    Args:
        config: Content of config.json.
        select_layer: Index of the hidden state that feeds the language model; from the end if it is negative.

    Raises:
        CheckpointError: It is another model, or a key changes the function in a way that is not supported.
    """
    refuse_quantization(config)
    theirs = read_vision_config(config)
    stated: Mapping[str, Any] = config.get("vision_config") or config
    check_fields(theirs, used={*VISION_NAMES.values(), *_VISION_KEYS_WITHOUT_EFFECT})
    unused_keys(stated, type(theirs))
    values = from_hugging_face(theirs.to_dict(), VISION_NAMES)
    if select_layer >= 0:
        select_layer -= values["num_layers"] + 1
    return GlobalEncoderConfig(
        architecture="siglip" if isinstance(theirs, SiglipVisionConfig) else "clip",
        select_layer=select_layer,
        **values,
    )


def read_vision_config(config: Mapping[str, Any]) -> CLIPVisionConfig | SiglipVisionConfig:
    """Transformers' configuration of the vision part of a CLIP or SigLIP.

    Raises:
        CheckpointError: It is another model, or a value has the wrong type.
    """
    kind = str(config.get("model_type") or "clip_vision_model")
    if kind not in _VISION_CLASSES:
        raise CheckpointError(
            f"model_type {kind} is not supported as global encoder; supported are clip and siglip"
        )
    theirs: Any = build_config(_VISION_CLASSES[kind], config)
    whole: Any = theirs  # transformers declares its parts as any configuration
    return whole.vision_config if isinstance(theirs, CLIPConfig | SiglipConfig) else whole


def infer_grounding_encoder(shapes: Shapes) -> GroundingEncoderConfig:
    """From SAM's image encoder; windows, heads and the layers with global attention follow from the relative positions."""
    prefix = "grounding_encoder.vit."
    _, grid, _, width = _shape(shapes, f"{prefix}pos_embed")
    patch = _shape(shapes, f"{prefix}patch_embed.proj.weight")[-1]
    depth = _count(shapes, f"{prefix}blocks.")
    rel_pos = [_shape(shapes, f"{prefix}blocks.{index}.attn.rel_pos_h") for index in range(depth)]
    windows = [(length + 1) // 2 for length, _ in rel_pos]
    local_windows = [window for window in windows if window != grid]
    return GroundingEncoderConfig(
        image_size=grid * patch,
        patch_size=patch,
        hidden_size=width,
        num_layers=depth,
        num_heads=width // rel_pos[0][1],
        global_attention_layers=tuple(i for i, window in enumerate(windows) if window == grid),
        window_size=local_windows[0] if local_windows else grid,
        out_channels=_shape(shapes, f"{prefix}neck.0.weight")[0],
    )


def infer_mask_decoder(shapes: Shapes) -> MaskDecoderConfig:
    """From SAM's mask decoder."""
    return MaskDecoderConfig(
        num_layers=_count(shapes, "mask_decoder.transformer.layers."),
        num_heads=_MASK_DECODER_HEADS,
        mlp_dim=_shape(shapes, "mask_decoder.transformer.layers.0.mlp.lin1.weight")[0],
        iou_head_hidden_dim=_shape(shapes, "mask_decoder.iou_prediction_head.layers.0.weight")[0],
    )


def infer_region_encoder(shapes: Shapes) -> RegionEncoderConfig:
    """From the region encoder; the groups of its normalization and the step between levels are those of the release."""
    prefix = "region_encoder."
    width = _shape(shapes, f"{prefix}fusion.input_convs.0.weight")[0]
    hidden, flat = _shape(shapes, f"{prefix}flatten_projection.weight")
    return RegionEncoderConfig(
        width=width,
        num_groups=min(64, width),
        position_dim=_shape(shapes, f"{prefix}position_embedding.0.weight")[0],
        hidden_dim=hidden,
        roi_size=round((flat / width) ** 0.5),
        num_fusion_layers=_count(shapes, f"{prefix}fusion.rounds."),
        num_levels=_count(shapes, f"{prefix}fusion.input_convs."),
    )


def default_region_encoder(clip: GlobalEncoderConfig) -> RegionEncoderConfig:
    """A new region encoder for a global encoder: as wide as it, with levels as far apart as possible, at most 3 layers."""
    width = clip.hidden_size - clip.hidden_size % 4
    selected = clip.num_layers + 1 + clip.select_layer
    return RegionEncoderConfig(
        width=width,
        num_groups=next(groups for groups in (64, 32, 16, 8, 4, 2, 1) if width % groups == 0),
        hidden_dim=width,
        num_levels=min(4, selected + 1),
        level_step=max(1, min(3, selected // 3)),
    )


def infer_language_model(
    config: Mapping[str, Any], shapes: Shapes, *, rope_theta: float
) -> LanguageModelConfig:
    """From the LLaMA of a release: what config.json does not state follows from shapes.

    Args:
        config: Content of config.json, with keys of the release that transformers does not know.
        shapes: Of all tensors.
        rope_theta: Base of the rotary embeddings if config.json does not state it.

    Raises:
        CheckpointError: A value is missing, or a key changes the function in a way that is not supported.
    """
    vocab_size, hidden = _shape(shapes, "language_model.model.embed_tokens.weight")
    layer = "language_model.model.layers.0."
    for name in ("num_heads", "rms_norm_eps"):
        if LANGUAGE_NAMES[name] not in config:
            raise CheckpointError(f"has no {LANGUAGE_NAMES[name]}, which the language model needs")
    inferred = {
        "hidden_size": hidden,
        "intermediate_size": _shape(shapes, f"{layer}mlp.gate_proj.weight")[0],
        "num_hidden_layers": _count(shapes, "language_model.model.layers."),
        "rope_theta": rope_theta,
    }
    values = {key: value for key, value in config.items() if value is not None}
    # the release enlarges the vocabulary; the file of a base model may still have the old size
    theirs = build_config(LlamaConfig, inferred | values | {"vocab_size": vocab_size})
    language = to_language_config(theirs)
    update: dict[str, Any] = {}
    if language.num_key_value_heads == language.num_heads:
        update["num_key_value_heads"] = None
    if language.head_dim == language.hidden_size // language.num_heads:
        update["head_dim"] = None
    return language.model_copy(update=update)


def release_compat(config: ModelConfig) -> ModelConfig:
    """Set the compatibility switches that released weights were trained with."""
    return config.model_copy(update={"compat": CompatConfig.release(), "prompt_style": "release"})


def _shape(shapes: Shapes, name: str) -> tuple[int, ...]:
    if name not in shapes:
        raise CheckpointError(f"{name} is missing: the size of its part cannot be inferred")
    return shapes[name]


def _count(shapes: Shapes, prefix: str) -> int:
    """The number of indexed children below a prefix."""
    return len({name[len(prefix) :].split(".")[0] for name in shapes if name.startswith(prefix)})
