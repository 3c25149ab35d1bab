"""From prompts to masks: SAM's prompt encoder and mask decoder, and the way back to the image's own pixels."""

import math

import torch
from jaxtyping import Float, Int
from segment_anything.modeling import MaskDecoder as SamMaskDecoder
from segment_anything.modeling import PromptEncoder, TwoWayTransformer
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


class MaskDecoder(SamMaskDecoder):
    """SAM's mask decoder for the masks of any number of images in one run.

    SAM's own knows one image only, and also computes the three masks of ambiguous prompts, which GLaMM has no use
    for.
    """

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride] - another contract, on purpose
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
            embeddings: What the grounding encoder saw.
            image_index: Image of each mask.
            prompt_encoder: Gives the dense "no mask" prompt and the positions.

        Returns:
            Logits at four times the grid, and what the decoder thinks their intersection over union to be; of mask
            token 0, as `multimask_output=False` takes.

        Source: `MaskDecoder.predict_masks`.
        """
        _, dense = prompt_encoder(points=None, boxes=None, masks=None)
        queries = torch.cat([self.iou_token.weight, self.mask_tokens.weight])
        tokens = torch.cat([queries.expand(len(prompts), -1, -1), prompts.to(queries.dtype)], dim=1)
        positions = dense_positions(prompt_encoder).to(embeddings.dtype)
        states, seen = self.transformer(
            (embeddings + dense)[image_index], positions.expand(len(prompts), -1, -1, -1), tokens
        )
        images = seen.transpose(1, 2).unflatten(2, embeddings.shape[-2:])
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
    """Bring decoder output back to the pixels of the image that the user sent.

    Args:
        mask_logits: Before the sigmoid, on the padded square.
        padded_size: Side of the square, in pixels.
        resized_size: (height, width) of the image inside the square; padding lies right and below.
        original_size: (height, width) of the image.

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
