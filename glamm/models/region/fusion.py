"""Fusion of feature levels: neighboring levels exchange channels, several times."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from glamm.config.model import RegionEncoderConfig


class FusionRound(nn.Module):
    """Exchanges channels between neighboring levels, then applies one convolution to every level.

    Args:
        width: Channels of every level.
        num_groups: Groups of the group normalization.
    """

    def __init__(self, *, width: int, num_groups: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm = nn.GroupNorm(num_groups, width)

    def forward(
        self, levels: list[Float[Tensor, "images width _ _"]]
    ) -> list[Float[Tensor, "images width _ _"]]:
        """Fuse every level with its neighbors."""
        return [
            functional.relu(self.norm(self.conv(_exchange(levels, depth))))
            for depth in range(len(levels))
        ]


class LevelFusion(nn.Module):
    """Projects levels, with pixel coordinates appended, to the same width and fuses them.

    Args:
        config: Sizes.
        in_channels: Channels of the input levels.

    Source: `MLVLFuseModule` of GPT4RoI.
    """

    def __init__(self, config: RegionEncoderConfig, *, in_channels: int) -> None:
        super().__init__()
        self.input_convs = nn.ModuleList(
            nn.Conv2d(in_channels + 2, config.width, 1) for _ in range(config.num_levels)
        )
        self.rounds = nn.ModuleList(
            FusionRound(width=config.width, num_groups=config.num_groups)
            for _ in range(config.num_fusion_layers)
        )

    def forward(
        self, levels: list[Float[Tensor, "images channels _ _"]]
    ) -> list[Float[Tensor, "images width _ _"]]:
        """Fuse levels, ordered from the shallowest and largest to the deepest."""
        fused = [
            conv(_with_coordinates(level))
            for conv, level in zip(self.input_convs, levels, strict=True)
        ]
        for fusion_round in self.rounds:
            fused = fusion_round(fused)
        return fused


def resize(
    level: Float[Tensor, "images channels _ _"], side: int
) -> Float[Tensor, "images channels side side"]:
    """Resize bilinearly with aligned corners."""
    return functional.interpolate(level, (side, side), mode="bilinear", align_corners=True)


def _with_coordinates(
    level: Float[Tensor, "images channels side side"],
) -> Float[Tensor, "images channels_and_2 side side"]:
    """Append two channels: x and y of each pixel, from -1 to 1."""
    line = torch.linspace(-1, 1, level.shape[-1], device=level.device, dtype=level.dtype)
    y, x = torch.meshgrid(line, line, indexing="ij")
    grid = torch.stack([x, y]).expand(level.shape[0], -1, -1, -1)
    return torch.cat([level, grid], dim=1)


def _exchange(levels: Sequence[Tensor], depth: int) -> Tensor:
    """Take half of the channels from the level itself and a quarter each from the deeper and the shallower level."""
    level = levels[depth]
    deeper = levels[min(depth + 1, len(levels) - 1)]
    shallower = levels[max(depth - 1, 0)]
    half, three_quarters = level.shape[1] // 2, level.shape[1] * 3 // 4
    side = level.shape[-1]
    return torch.cat(
        [
            level[:, :half],
            resize(deeper[:, three_quarters:], side),
            resize(shallower[:, half:three_quarters], side),
        ],
        dim=1,
    )
