"""Sizes of somebody else's weights, read off their shapes and their config.json."""

from collections.abc import Mapping
from typing import Any

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

Shapes = Mapping[str, tuple[int, ...]]
"""By our names."""

_MASK_DECODER_HEADS = 8  # of every published SAM; no shape tells
_MASK_DECODER_DEPTH = 2


def infer_global_encoder(config: Mapping[str, Any], *, select_layer: int = -2) -> GlobalEncoderConfig:
    """Of config.json of a CLIP folder, whole or its vision part.

    Raises:
        CheckpointError: A size is missing.
    """
    vision: Mapping[str, Any] = config.get("vision_config") or config
    try:
        return GlobalEncoderConfig(
            image_size=vision["image_size"],
            patch_size=vision["patch_size"],
            hidden_size=vision["hidden_size"],
            intermediate_size=vision["intermediate_size"],
            num_layers=vision["num_hidden_layers"],
            num_heads=vision["num_attention_heads"],
            select_layer=select_layer,
            hidden_act=vision.get("hidden_act", "quick_gelu"),
            layer_norm_eps=vision.get("layer_norm_eps", 1e-5),
        )
    except KeyError as error:
        raise CheckpointError(f"config.json of the CLIP folder has no {error}") from error


def infer_grounding_encoder(shapes: Shapes) -> GroundingEncoderConfig:
    """Of SAM's image encoder; window, heads and the layers that see everything follow from the relative positions."""
    prefix = "grounding_encoder.vit."
    _, grid, _, width = _shape(shapes, f"{prefix}pos_embed")
    patch = _shape(shapes, f"{prefix}patch_embed.proj.weight")[-1]
    depth = _count(shapes, f"{prefix}blocks.")
    spans = [_shape(shapes, f"{prefix}blocks.{index}.attn.rel_pos_h") for index in range(depth)]
    windows = [(span + 1) // 2 for span, _ in spans]
    inner = [window for window in windows if window != grid]
    return GroundingEncoderConfig(
        image_size=grid * patch,
        patch_size=patch,
        hidden_size=width,
        num_layers=depth,
        num_heads=width // spans[0][1],
        global_attention_layers=tuple(i for i, window in enumerate(windows) if window == grid),
        window_size=inner[0] if inner else grid,
        out_channels=_shape(shapes, f"{prefix}neck.0.weight")[0],
    )


def infer_mask_decoder(shapes: Shapes) -> MaskDecoderConfig:
    """Of SAM's mask decoder."""
    return MaskDecoderConfig(
        num_layers=_count(shapes, "mask_decoder.transformer.layers."),
        num_heads=_MASK_DECODER_HEADS,
        mlp_dim=_shape(shapes, "mask_decoder.transformer.layers.0.mlp.lin1.weight")[0],
        iou_head_hidden_dim=_shape(shapes, "mask_decoder.iou_prediction_head.layers.0.weight")[0],
    )


def infer_region_encoder(shapes: Shapes) -> RegionEncoderConfig:
    """Of the region encoder; the groups of its normalisation and the step between levels are the release's."""
    prefix = "region_encoder."
    width = _shape(shapes, f"{prefix}fusion.input_convs.0.weight")[0]
    middle, flat = _shape(shapes, f"{prefix}flatten_projection.weight")
    return RegionEncoderConfig(
        width=width,
        num_groups=min(64, width),
        position_dim=_shape(shapes, f"{prefix}position_embedding.0.weight")[0],
        hidden_dim=middle,
        roi_size=round((flat / width) ** 0.5),
        num_fusion_layers=_count(shapes, f"{prefix}fusion.rounds."),
        num_levels=_count(shapes, f"{prefix}fusion.input_convs."),
    )


def default_region_encoder(clip: GlobalEncoderConfig) -> RegionEncoderConfig:
    """For a global encoder that has none: as wide as it, its levels as far apart as they can be, up to the release's 3."""
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
    """Of a LLaMA: sizes by shape, all else by config.json.

    Raises:
        CheckpointError: A value is missing.
    """
    vocab_size, hidden = _shape(shapes, "language_model.model.embed_tokens.weight")
    layer = "language_model.model.layers.0."
    groups = config.get("num_key_value_heads")
    try:
        return LanguageModelConfig(
            vocab_size=vocab_size,
            hidden_size=hidden,
            intermediate_size=_shape(shapes, f"{layer}mlp.gate_proj.weight")[0],
            num_layers=_count(shapes, "language_model.model.layers."),
            num_heads=config["num_attention_heads"],
            num_key_value_heads=None if groups == config["num_attention_heads"] else groups,
            hidden_act=config.get("hidden_act", "silu"),
            rms_norm_eps=config["rms_norm_eps"],
            rope_theta=rope_theta,
            max_positions=config.get("max_position_embeddings", 2048),
            tie_embeddings="language_model.lm_head.weight" not in shapes,
        )
    except KeyError as error:
        raise CheckpointError(f"config.json of the language model has no {error}") from error


def release_compat(config: ModelConfig) -> ModelConfig:
    """The switches that released weights were trained with."""
    return config.model_copy(update={"compat": CompatConfig.release(), "prompt_style": "release"})


def _shape(shapes: Shapes, name: str) -> tuple[int, ...]:
    if name not in shapes:
        raise CheckpointError(f"{name} is missing: nothing says how large this part is")
    return shapes[name]


def _count(shapes: Shapes, prefix: str) -> int:
    """Numbered children below a prefix."""
    return len({name[len(prefix) :].split(".")[0] for name in shapes if name.startswith(prefix)})
