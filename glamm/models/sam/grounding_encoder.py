"""The grounding encoder: SAM's image encoder, including normalization and padding."""

from functools import partial
from typing import cast

import torch
from jaxtyping import Bool, Float, UInt8
from segment_anything.modeling import ImageEncoderViT
from segment_anything.modeling.image_encoder import Attention as SamAttention
from torch import Tensor, nn

from glamm.config.model import GroundingEncoderConfig
from glamm.models.computed_buffers import ComputedBuffers
from glamm.models.sam.attention import ChunkedAttention
from glamm.typing import Size

PIXEL_MEAN = (123.675, 116.28, 103.53)
PIXEL_STD = (58.395, 57.12, 57.375)


class GroundingEncoder(ComputedBuffers):
    """SAM's vision transformer, including the normalization of its pixels.

    Args:
        vit: The transformer and its neck.
    """

    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(self, *, vit: ImageEncoderViT) -> None:
        super().__init__()
        self.vit = vit
        for block in vit.blocks:
            block.attn = ChunkedAttention(cast("SamAttention", block.attn))
        self.compute_buffers()

    @classmethod
    def from_config(cls, config: GroundingEncoderConfig) -> "GroundingEncoder":
        """Build with random weights."""
        return cls(
            vit=ImageEncoderViT(
                img_size=config.image_size,
                patch_size=config.patch_size,
                embed_dim=config.hidden_size,
                depth=config.num_layers,
                num_heads=config.num_heads,
                out_chans=config.out_channels,
                norm_layer=partial(nn.LayerNorm, eps=1e-6),  # type: ignore[arg-type]
                use_rel_pos=True,
                window_size=config.window_size,
                global_attn_indexes=config.global_attention_layers,
            )
        )

    def compute_buffers(self, device: torch.device | str | None = None) -> None:
        """Compute the constants of the normalization."""
        for name, values in (("pixel_mean", PIXEL_MEAN), ("pixel_std", PIXEL_STD)):
            constants = torch.tensor(values, dtype=torch.float32, device=device).view(1, 3, 1, 1)
            self.register_buffer(name, constants, persistent=False)

    def forward(
        self,
        grounding_pixels: UInt8[Tensor, "images 3 side side"],
        resized_sizes: tuple[Size, ...],
    ) -> Float[Tensor, "images channels grid grid"]:
        """Encode images.

        Args:
            grounding_pixels: RGB before normalization, each image at the top left of its square.
            resized_sizes: (height, width) of each image inside the square; pixels outside are set to zero after the
                normalization.
        """
        dtype = self.vit.patch_embed.proj.weight.dtype
        pixels = (grounding_pixels - self.pixel_mean) / self.pixel_std
        inside = _inside(grounding_pixels, resized_sizes)
        return self.vit(pixels.masked_fill(~inside, 0.0).to(dtype))


def _inside(
    pixels: UInt8[Tensor, "images 3 side side"], resized_sizes: tuple[Size, ...]
) -> Bool[Tensor, "images 1 side side"]:
    """True inside the image, False on the padding."""
    sizes = torch.tensor(resized_sizes, device=pixels.device)
    line = torch.arange(pixels.shape[-1], device=pixels.device)
    rows, columns = line < sizes[:, :1], line < sizes[:, 1:]
    return (rows[:, :, None] & columns[:, None, :])[:, None]
