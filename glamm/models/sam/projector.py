"""The projector from the state before a [SEG] token to a prompt of the mask decoder."""

from torch import nn


class TextToMaskProjector(nn.Sequential):
    """Two linear layers with a ReLU between them.

    Args:
        in_features: Width of the language model.
        out_features: Channels of the mask decoder's prompts.

    Source: the L-P projection of the paper, `text_hidden_fcs` of LISA and the release. Their dropout of 0 is omitted.
    """

    def __init__(self, *, in_features: int, out_features: int) -> None:
        super().__init__(
            nn.Linear(in_features, in_features),
            nn.ReLU(),
            nn.Linear(in_features, out_features),
        )
