"""Tensor names of SAM: of segment-anything and of transformers; its relatives with other parts are recognized and refused."""

import re
from collections.abc import Callable, Iterable, Mapping

from glamm.errors import CheckpointError

_PARTS = {
    "image_encoder.": "grounding_encoder.vit.",
    "prompt_encoder.": "prompt_encoder.",
    "mask_decoder.": "mask_decoder.",
}
_CONSTANTS = ("pixel_mean", "pixel_std")
_SHARED, _OF_PROMPTS = "shared_image_embedding.", "prompt_encoder.shared_embedding."
"""The position embedding, twice in a model of transformers, and once in its safetensors."""

_RELATIVES = {
    r"\.hf_token|hf_mlp|compress_vit_feat|embedding_encoder": "SAM-HQ",
    r"image_encoder\.trunk\.|memory_attention|memory_encoder|vision_encoder\.backbone\.blocks": "SAM 2",
    r"image_encoder\.(layers\.\d+\.blocks|patch_embed\.seq)": "MobileSAM",
    r"image_encoder\.(backbone|stages)\.": "a small relative of SAM",
    r"^(model\.)*visual_model\.": "LISA",
    r"^(model\.)*grounding_encoder\.": "the official GLaMM release",
    r"^model\.\d+\.": "FastSAM",
}
_REMEDY = "name sam_vit_h_4b8939.pth, sam_vit_l_0b3195.pth or sam_vit_b_01ec64.pth of segment-anything, or the same model of transformers"

# from transformers to segment-anything, applied one after another
_FROM_TRANSFORMERS: tuple[tuple[str, str], ...] = (
    (r"^vision_encoder\.layers\.", "image_encoder.blocks."),
    (r"^vision_encoder\.", "image_encoder."),
    (r"patch_embed\.projection", "patch_embed.proj"),
    (r"neck\.conv1", "neck.0"),
    (r"neck\.layer_norm1", "neck.1"),
    (r"neck\.conv2", "neck.2"),
    (r"neck\.layer_norm2", "neck.3"),
    (r"upscale_conv1", "output_upscaling.0"),
    (r"upscale_layer_norm", "output_upscaling.1"),
    (r"upscale_conv2", "output_upscaling.3"),
    (r"mask_embed\.conv1", "mask_downscaling.0"),
    (r"mask_embed\.layer_norm1", "mask_downscaling.1"),
    (r"mask_embed\.conv2", "mask_downscaling.3"),
    (r"mask_embed\.layer_norm2", "mask_downscaling.4"),
    (r"mask_embed\.conv3", "mask_downscaling.6"),
    (r"\.point_embed\.", ".point_embeddings."),
    (
        r"shared_embedding\.positional_embedding",
        "pe_layer.positional_encoding_gaussian_matrix",
    ),
    (r"layer_norm", "norm"),
    (r"(iou_prediction_head|output_hypernetworks_mlps\.\d+)\.layers\.0\.", r"\1.layers.1."),
    (r"(iou_prediction_head|output_hypernetworks_mlps\.\d+)\.proj_in\.", r"\1.layers.0."),
    (r"(iou_prediction_head|output_hypernetworks_mlps\.\d+)\.proj_out\.", r"\1.layers.2."),
)


def sam_names(names: Iterable[str]) -> Callable[[str], str | None]:
    """Choose the translation of a file's names into ours; it returns None for constants.

    Args:
        names: All names of the file.

    Raises:
        CheckpointError: It is another model.
    """
    plain = [_without_wrapper(name) for name in names]
    for pattern, relative in _RELATIVES.items():
        if any(re.search(pattern, name) for name in plain):
            raise CheckpointError(f"has the tensors of {relative}, not of SAM: {_REMEDY}")
    if any(name.startswith("vision_encoder.layers.") for name in plain):
        has_both = any(name.startswith(_OF_PROMPTS) for name in plain)

        def translate(name: str) -> str | None:
            name = _without_wrapper(name)
            if name.startswith(_SHARED):
                if has_both:
                    return None
                name = name.replace(_SHARED, _OF_PROMPTS)
            return _to_ours(_from_transformers(name))

        return translate
    if not any(name.startswith(tuple(_PARTS)) for name in plain):
        raise CheckpointError(f"has no tensors of SAM ({', '.join(plain[:3])}, …): {_REMEDY}")
    return lambda name: _to_ours(_without_wrapper(name))


def _without_wrapper(name: str) -> str:
    """Without the names that training programs put before those of SAM."""
    return re.sub(r"^(module\.|model\.|sam\.|sam_model\.)+(?=[a-z_]+\.)", "", name)


def _from_transformers(name: str) -> str:
    for theirs, ours in _FROM_TRANSFORMERS:
        name = re.sub(theirs, ours, name)
    return name


def _to_ours(name: str) -> str | None:
    if name in _CONSTANTS:
        return None
    for theirs, ours in _PARTS.items():
        if name.startswith(theirs):
            return ours + name.removeprefix(theirs)
    raise CheckpointError(f"{name} is not a tensor of SAM: {_REMEDY}")


SAM_SETTINGS: Mapping[str, Mapping[str, object]] = {
    "vision_config": {"qkv_bias": True, "use_abs_pos": True, "use_rel_pos": True},
    "mask_decoder_config": {"num_attention_heads": 8, "attention_downsample_rate": 2},
}
"""Values that config.json of transformers must have: they cannot be inferred from shapes."""
