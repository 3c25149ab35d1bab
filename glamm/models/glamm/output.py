"""The output of a training step."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, slots=True)
class GLaMMOutput:
    """The loss, its unweighted terms and the predicted masks.

    Args:
        loss: Weighted sum of the terms; call `backward` on it.
        ce_loss: Mean over all supervised tokens of the batch.
        bce_loss: Mean over all masks; 0 without masks.
        dice_loss: Mean over all masks; 0 without masks.
        mask_logits: For each image, float32 logits at its original size, one map per [SEG]; empty if the batch has
            no grounding pixels.
    """

    loss: Float[Tensor, ""]
    ce_loss: Float[Tensor, ""]
    bce_loss: Float[Tensor, ""]
    dice_loss: Float[Tensor, ""]
    mask_logits: tuple[Float[Tensor, "_ _ _"], ...]
