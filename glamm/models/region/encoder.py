"""The region encoder: pools each box from the global encoder's levels into one embedding for the language model.

Axis names: ``regions`` boxes of all conversations of a batch, in order.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import roi_align

from glamm.config.model import RegionEncoderConfig
from glamm.models.region.fusion import LevelFusion, resize


class RegionEncoder(nn.Module):
    """Fuses the levels, pools each box from every level with RoIAlign and adds an embedding of the box's position.

    Args:
        config: Sizes.
        in_channels: Width of the global encoder.
        out_features: Width of the language model.
        image_size: Side of the global encoder's input, in pixels.
        roi_base_size: Side in pixels that is assumed for a box of the whole image; equal to `image_size` unless
            released weights are used.
        is_rounded_to_bf16: Round the upsampled levels to bfloat16 and back.

    Upstream: the release assumes a side of 224 although images have 336 pixels, and always rounds to bfloat16.
    Source: `MLVLROIQueryModule` of GPT4RoI.
    """

    def __init__(
        self,
        config: RegionEncoderConfig,
        *,
        in_channels: int,
        out_features: int,
        image_size: int,
        roi_base_size: int,
        is_rounded_to_bf16: bool,
    ) -> None:
        super().__init__()
        self.image_size, self.roi_base_size = image_size, roi_base_size
        self.roi_size, self.sampling_ratio = config.roi_size, config.sampling_ratio
        self.is_rounded_to_bf16 = is_rounded_to_bf16
        self.fusion = LevelFusion(config, in_channels=in_channels)
        self.level_convs = nn.ModuleList(
            nn.Conv2d(config.width, config.width, 3, padding=1) for _ in range(config.num_levels)
        )
        self.flatten_projection = nn.Linear(config.width * config.roi_size**2, config.hidden_dim)
        self.position_embedding = nn.Sequential(
            nn.Linear(4, config.position_dim),
            nn.ReLU(),
            nn.LayerNorm(config.position_dim),
            nn.Linear(config.position_dim, config.hidden_dim),
            nn.ReLU(),
            nn.LayerNorm(config.hidden_dim),
        )
        self.output_projection = nn.Linear(config.hidden_dim, out_features)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=0.01)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(
        self,
        levels: tuple[Float[Tensor, "images channels grid grid"], ...],
        boxes_xyxy_unit: Float[Tensor, "regions 4"],
        image_index: Int[Tensor, " regions"],
    ) -> Float[Tensor, "regions hidden"]:
        """Encode boxes.

        Args:
            levels: Feature maps of the global encoder, the shallowest layer first.
            boxes_xyxy_unit: x1, y1, x2, y2 in [0, 1], relative to the image.
            image_index: Image of each box.
        """
        fused = self.fusion(self._upsample(levels))
        pooled = torch.stack(
            [
                conv(self.pool_boxes(level, boxes_xyxy_unit, image_index))
                for conv, level in zip(self.level_convs, fused, strict=True)
            ]
        )
        shape = functional.relu(pooled.sum(0)).flatten(1)
        position = self.position_embedding(boxes_xyxy_unit.to(shape.dtype))
        return self.output_projection(self.flatten_projection(shape) + position)

    def pool_boxes(
        self,
        level: Float[Tensor, "images width side side"],
        boxes_xyxy_unit: Float[Tensor, "regions 4"],
        image_index: Int[Tensor, " regions"],
    ) -> Float[Tensor, "regions width roi roi"]:
        """Pool boxes from a level with RoIAlign, into a grid of fixed size."""
        pixels = boxes_xyxy_unit.float() * self.roi_base_size
        rois = torch.cat([image_index[:, None].to(pixels.dtype), pixels], dim=1)
        sampled = roi_align(
            level.float(),
            rois,
            output_size=self.roi_size,
            spatial_scale=level.shape[-1] / self.image_size,
            sampling_ratio=self.sampling_ratio,
            aligned=True,
        )
        return sampled.to(level.dtype)

    def _upsample(
        self, levels: tuple[Float[Tensor, "images channels grid grid"], ...]
    ) -> list[Tensor]:
        """Resize levels so that each has twice the side of the next deeper one; the deepest keeps its size."""
        upsampled = []
        for depth, level in enumerate(levels):
            side = level.shape[-1] * 2 ** (len(levels) - 1 - depth)
            larger = resize(level.float(), side)
            if self.is_rounded_to_bf16:
                larger = larger.bfloat16()
            upsampled.append(larger.to(level.dtype))
        return upsampled
