"""Another resolution for a trained model: position embeddings are stretched, everything else stays.

What is usual when a vision transformer is fine-tuned on larger images.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from glamm.config.model import GroundingEncoderConfig, ModelConfig
from glamm.models.glamm import GLaMM

_CLIP_POSITIONS = "global_encoder.clip.embeddings.position_embedding.weight"
_SAM_POSITIONS = "grounding_encoder.vit.pos_embed"
_SAM_RELATIVE = ("rel_pos_h", "rel_pos_w")


def resized(
    model: GLaMM, *, global_size: int | None = None, grounding_size: int | None = None
) -> GLaMM:
    """Give a model images of another size to see.

    Args:
        model: Stays as it is; the new one shares the tensors that need no change.
        global_size: Side of the global encoder's square in pixels, None keeps it.
        grounding_size: Side of the grounding encoder's square in pixels, None keeps it.

    Returns:
        The model itself when nothing changes.

    Raises:
        ValueError: A size is no multiple of the patch.
    """
    old = model.config
    new = _resized_config(old, global_size=global_size, grounding_size=grounding_size)
    if new == old:
        return model
    with torch.device("meta"):
        other = GLaMM.from_config(new)
    shapes = {name: value.shape for name, value in other.state_dict().items()}
    weights = {
        name: _stretched(name, value, shapes[name]) for name, value in model.state_dict().items()
    }
    device = next(model.parameters()).device
    other = GLaMM.from_config(new).to(
        device
    )  # not meta: buffers outside the state need their values
    other.load_state_dict(weights)
    return other.train(model.training)


def _resized_config(
    config: ModelConfig, *, global_size: int | None, grounding_size: int | None
) -> ModelConfig:
    encoder, grounding = config.global_encoder, config.grounding_encoder
    for size, part in ((global_size, encoder), (grounding_size, grounding)):
        if size is not None and size % part.patch_size:
            raise ValueError(f"{size} pixels are no multiple of the patch of {part.patch_size}")
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
    """As many windows along a side as before, so that none is mostly padding."""
    num_windows = -(-config.grid_size // config.window_size)
    window = -(-(size // config.patch_size) // num_windows)
    return config.model_copy(update={"image_size": size, "window_size": window})


def _stretched(name: str, value: Tensor, shape: torch.Size) -> Tensor:
    if value.shape == shape:
        return value
    if name == _CLIP_POSITIONS:
        class_token, grid = value[: shape[0] - _square(shape[0])], value[-_square(value.shape[0]) :]
        old, new = int(len(grid) ** 0.5), int(_square(shape[0]) ** 0.5)
        stretched = _stretch(grid.unflatten(0, (old, old)), (new, new)).flatten(0, 1)
        return torch.cat([class_token, stretched])
    if name == _SAM_POSITIONS:
        return _stretch(value[0], (shape[1], shape[2]))[None]
    if name.endswith(_SAM_RELATIVE):
        return _stretch(value[:, None], (shape[0], 1))[:, 0]
    raise ValueError(f"{name}: {tuple(value.shape)} cannot become {tuple(shape)}")


def _square(num_positions: int) -> int:
    """Patches among positions that may begin with a class token."""
    return int(num_positions**0.5) ** 2


def _stretch(
    grid: Float[Tensor, "rows columns width"], size: tuple[int, int]
) -> Float[Tensor, "new_rows new_columns width"]:
    channels_first = grid.permute(2, 0, 1)[None].float()
    new = functional.interpolate(channels_first, size, mode="bicubic", align_corners=False)
    return new[0].permute(1, 2, 0).to(grid.dtype)
