"""Change the resolution of a trained model: position embeddings are interpolated, everything else is unchanged.

This is the usual method to fine-tune a vision transformer on larger images.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from glamm.config.model import GroundingEncoderConfig, ModelConfig
from glamm.models.glamm import GLaMM
from glamm.models.glamm.without_weights import build_without_weights

_CLIP_POSITIONS = "global_encoder.clip.embeddings.position_embedding.weight"
_SAM_POSITIONS = "grounding_encoder.vit.pos_embed"
_SAM_RELATIVE = ("rel_pos_h", "rel_pos_w")


def resized(
    model: GLaMM, *, global_size: int | None = None, grounding_size: int | None = None
) -> GLaMM:
    """Create a model for images of another size.

    Args:
        model: Not to be used any more: the new model has its tensors, except those that depend on a size.
        global_size: Side of the global encoder's input in pixels; None keeps it.
        grounding_size: Side of the grounding encoder's input in pixels; None keeps it.

    Returns:
        The model itself if nothing changes.

    Raises:
        ValueError: A size is not a multiple of the patch size.
    """
    old = model.config
    new = _resized_config(old, global_size=global_size, grounding_size=grounding_size)
    if new == old:
        return model
    resized_model = build_without_weights(new, device=next(model.parameters()).device)
    shapes = {name: value.shape for name, value in resized_model.state_dict().items()}
    weights = {
        name: _interpolated(name, value, shapes[name]) for name, value in model.state_dict().items()
    }
    resized_model.load_state_dict(weights, assign=True)
    return resized_model.train(model.training)


def _resized_config(
    config: ModelConfig, *, global_size: int | None, grounding_size: int | None
) -> ModelConfig:
    encoder, grounding = config.global_encoder, config.grounding_encoder
    for size, part in ((global_size, encoder), (grounding_size, grounding)):
        if size is not None and size % part.patch_size:
            raise ValueError(
                f"{size} pixels are not a multiple of the patch size {part.patch_size}"
            )
    return config.model_copy(
        update={
            "global_encoder": encoder.model_copy(
                update={"image_size": global_size or encoder.image_size}
            ),
            "grounding_encoder": _resized_grounding(
                grounding, size=grounding_size or grounding.image_size
            ),
        }
    )


def _resized_grounding(config: GroundingEncoderConfig, *, size: int) -> GroundingEncoderConfig:
    """Keep the number of windows along a side, so that no window is mostly padding."""
    if size == config.image_size:
        return config
    num_windows = -(-config.grid_size // config.window_size)
    window = -(-(size // config.patch_size) // num_windows)
    return config.model_copy(update={"image_size": size, "window_size": window})


def _interpolated(name: str, value: Tensor, shape: torch.Size) -> Tensor:
    if value.shape == shape:
        return value
    if name == _CLIP_POSITIONS:
        num_class_tokens = shape[0] - _num_patches(shape[0])
        class_tokens, grid = value[:num_class_tokens], value[-_num_patches(value.shape[0]) :]
        old, new = int(len(grid) ** 0.5), int(_num_patches(shape[0]) ** 0.5)
        patches = _interpolate(grid.unflatten(0, (old, old)), (new, new)).flatten(0, 1)
        return torch.cat([class_tokens, patches])
    if name == _SAM_POSITIONS:
        return _interpolate(value[0], (shape[1], shape[2]))[None]
    if name.endswith(_SAM_RELATIVE):
        return _interpolate(value[:, None], (shape[0], 1))[:, 0]
    raise ValueError(f"{name}: {tuple(value.shape)} cannot be interpolated to {tuple(shape)}")


def _num_patches(num_positions: int) -> int:
    """The number of patches among positions that may include a class token."""
    return int(num_positions**0.5) ** 2


def _interpolate(
    grid: Float[Tensor, "rows columns width"], size: tuple[int, int]
) -> Float[Tensor, "new_rows new_columns width"]:
    channels_first = grid.permute(2, 0, 1)[None].float()
    new = functional.interpolate(channels_first, size, mode="bicubic", align_corners=False)
    return new[0].permute(1, 2, 0).to(grid.dtype)
