"""From prompts to masks: SAM's prompt encoder and mask decoder, and the way back to the picture's own pixels."""

import math

import torch
from jaxtyping import Float
from segment_anything.modeling import MaskDecoder, PromptEncoder, TwoWayTransformer
from torch import Tensor
from torch.nn import functional

from glamm.config.model import GroundingEncoderConfig, MaskDecoderConfig
from glamm.typing import Size

MASK_PROMPT_CHANNELS = 16  # of SAM's mask prompts, which GLaMM never uses but released weights hold


def build_prompt_encoder(config: GroundingEncoderConfig) -> PromptEncoder:
    """Build SAM's prompt encoder with random weights."""
    grid, side = config.grid_size, config.image_size
    return PromptEncoder(
        embed_dim=config.out_channels,
        image_embedding_size=(grid, grid),
        input_image_size=(side, side),
        mask_in_chans=MASK_PROMPT_CHANNELS,
    )


def build_mask_decoder(config: MaskDecoderConfig, *, channels: int) -> MaskDecoder:
    """Build SAM's mask decoder with random weights."""
    return MaskDecoder(
        transformer_dim=channels,
        transformer=TwoWayTransformer(
            depth=config.num_layers,
            embedding_dim=channels,
            num_heads=config.num_heads,
            mlp_dim=config.mlp_dim,
        ),
        iou_head_hidden_dim=config.iou_head_hidden_dim,
    )


def decode_low_resolution(
    seg_prompts: Float[Tensor, "masks channels"],
    embedding: Float[Tensor, "channels grid grid"],
    *,
    prompt_encoder: PromptEncoder,
    mask_decoder: MaskDecoder,
) -> Float[Tensor, "masks low low"]:
    """Decode the masks of one picture in one run of the mask decoder.

    Args:
        seg_prompts: One sparse prompt a mask; at least one.
        embedding: What the grounding encoder saw.
        prompt_encoder: Gives the dense "no mask" prompt and the positions.
        mask_decoder: Decodes.

    Returns:
        Logits at a quarter of the square times the patch size; mask token 0, as `multimask_output=False` takes.
    """
    _, dense = prompt_encoder(points=None, boxes=None, masks=None)
    logits, _ = mask_decoder(
        image_embeddings=embedding[None],
        image_pe=dense_positions(prompt_encoder).to(embedding.dtype),
        sparse_prompt_embeddings=seg_prompts[:, None],
        dense_prompt_embeddings=dense,
        multimask_output=False,
    )
    return logits[:, 0]


def dense_positions(prompt_encoder: PromptEncoder) -> Float[Tensor, "1 channels grid grid"]:
    """Random Fourier features of the centre of every cell.

    Source: `PositionEmbeddingRandom`, restated in float32 so that it also works when the weights are bfloat16.
    """
    frequencies = prompt_encoder.pe_layer.get_buffer("positional_encoding_gaussian_matrix").float()
    height, width = prompt_encoder.image_embedding_size
    y = (torch.arange(height, device=frequencies.device) + 0.5) / height
    x = (torch.arange(width, device=frequencies.device) + 0.5) / width
    centres = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)
    angles = 2 * math.pi * ((2 * centres - 1) @ frequencies)
    return torch.cat([angles.sin(), angles.cos()], dim=-1).permute(2, 0, 1)[None]


def restore_mask_logits(
    mask_logits: Float[Tensor, "masks low low"],
    *,
    padded_size: int,
    resized_size: Size,
    original_size: Size,
) -> Float[Tensor, "masks height width"]:
    """Bring decoder output back to the pixels of the picture that the user sent.

    Args:
        mask_logits: Before the sigmoid, on the padded square.
        padded_size: Side of the square, in pixels.
        resized_size: (height, width) of the picture inside the square; padding lies right and below.
        original_size: (height, width) of the picture.

    Returns:
        Float32 logits at `original_size`. A value above 0 is foreground.

    Raises:
        ValueError: `resized_size` does not fit into the square.

    Source: `Sam.postprocess_masks`.
    """
    height, width = resized_size
    if not (0 < height <= padded_size and 0 < width <= padded_size):
        raise ValueError(f"a picture of {height} x {width} does not fit a square of {padded_size}")
    square = functional.interpolate(
        mask_logits.float()[:, None], (padded_size, padded_size), mode="bilinear"
    )
    picture = square[..., :height, :width]
    return functional.interpolate(picture, original_size, mode="bilinear")[:, 0]
