"""The projector from the global encoder's width to the language model's."""

from torch import nn


class ImageProjector(nn.Sequential):
    """Two linear layers with an exact GELU between them.

    Args:
        in_features: Width of the global encoder.
        out_features: Width of the language model.

    Source: LLaVA 1.5's `mlp2x_gelu`; the V-L projection of the paper.
    """

    def __init__(self, *, in_features: int, out_features: int) -> None:
        super().__init__(
            nn.Linear(in_features, out_features),
            nn.GELU(),
            nn.Linear(out_features, out_features),
        )
