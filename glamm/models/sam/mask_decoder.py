"""SAM's prompt encoder and mask decoder, and the resize of mask logits to the original image."""

import math

import torch
from jaxtyping import Float, Int
from segment_anything.modeling import MaskDecoder as SamMaskDecoder
from segment_anything.modeling import PromptEncoder, TwoWayTransformer
from torch import Tensor
from torch.nn import functional

from glamm.config.model import GroundingEncoderConfig, MaskDecoderConfig
from glamm.typing import Size

MASK_PROMPT_CHANNELS = 16
"""Of SAM's mask prompts: GLaMM does not use them, but released weights contain them."""


def build_prompt_encoder(config: GroundingEncoderConfig) -> PromptEncoder:
    """Build SAM's prompt encoder with random weights."""
    grid, side = config.grid_size, config.image_size
    return PromptEncoder(
        embed_dim=config.out_channels,
        image_embedding_size=(grid, grid),
        input_image_size=(side, side),
        mask_in_chans=MASK_PROMPT_CHANNELS,
    )


class MaskDecoder(SamMaskDecoder):
    """SAM's mask decoder, for the masks of several images in one run.

    The original decodes masks of a single image, and also computes three masks for ambiguous prompts, which GLaMM does
    not need.
    """

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride] - another signature, on purpose
        self,
        prompts: Float[Tensor, "masks tokens channels"],
        embeddings: Float[Tensor, "images channels grid grid"],
        image_index: Int[Tensor, " masks"],
        *,
        prompt_encoder: PromptEncoder,
    ) -> tuple[Float[Tensor, "masks low low"], Float[Tensor, " masks"]]:
        """Decode masks.

        Args:
            prompts: Sparse prompts of each mask; at least one mask.
            embeddings: Output of the grounding encoder.
            image_index: Index into `embeddings` for each mask.
            prompt_encoder: Provides the dense "no mask" prompt and the position embeddings.

        Returns:
            Logits before the sigmoid, with four times the side of the embedding, and the predicted IoU of each mask.
            Both come from mask token 0, as with `multimask_output=False`.

        Source: `MaskDecoder.predict_masks`.
        """
        _, dense = prompt_encoder(points=None, boxes=None, masks=None)
        queries = torch.cat([self.iou_token.weight, self.mask_tokens.weight])
        tokens = torch.cat([queries.expand(len(prompts), -1, -1), prompts.to(queries.dtype)], dim=1)
        positions = dense_positions(prompt_encoder).to(embeddings.dtype)
        states, keys = self.transformer(
            (embeddings + dense)[image_index], positions.expand(len(prompts), -1, -1, -1), tokens
        )
        images = keys.transpose(1, 2).unflatten(2, embeddings.shape[-2:])
        upscaled = self.output_upscaling(images)
        weights = self.output_hypernetworks_mlps[0](states[:, 1])
        scores = self.iou_prediction_head(states[:, 0])[:, 0]
        return torch.einsum("mc,mchw->mhw", weights, upscaled), scores


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


def dense_positions(prompt_encoder: PromptEncoder) -> Float[Tensor, "1 channels grid grid"]:
    """Random Fourier features of the center of every grid cell.

    Source: `PositionEmbeddingRandom`, computed in float32 so that it also works with bfloat16 weights.
    """
    frequencies = prompt_encoder.pe_layer.get_buffer("positional_encoding_gaussian_matrix").float()
    height, width = prompt_encoder.image_embedding_size
    y = (torch.arange(height, device=frequencies.device) + 0.5) / height
    x = (torch.arange(width, device=frequencies.device) + 0.5) / width
    centers = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)
    angles = 2 * math.pi * ((2 * centers - 1) @ frequencies)
    return torch.cat([angles.sin(), angles.cos()], dim=-1).permute(2, 0, 1)[None]


def restore_mask_logits(
    mask_logits: Float[Tensor, "masks low low"],
    *,
    padded_size: int,
    resized_size: Size,
    original_size: Size,
) -> Float[Tensor, "masks height width"]:
    """Resize the decoder's output to the original image.

    Args:
        mask_logits: Before the sigmoid, on the padded square.
        padded_size: Side of the square, in pixels.
        resized_size: (height, width) in pixels of the image inside the square; the padding lies to the right and below.
        original_size: (height, width) in pixels of the original image.

    Returns:
        Float32 logits at `original_size`. A value above 0 is foreground.

    Raises:
        ValueError: `resized_size` does not fit into the square.

    Source: `Sam.postprocess_masks`.
    """
    height, width = resized_size
    if not (0 < height <= padded_size and 0 < width <= padded_size):
        raise ValueError(f"an image of {height} x {width} does not fit a square of {padded_size}")
    square = functional.interpolate(
        mask_logits.float()[:, None], (padded_size, padded_size), mode="bilinear"
    )
    image = square[..., :height, :width]
    return functional.interpolate(image, original_size, mode="bilinear")[:, 0]
