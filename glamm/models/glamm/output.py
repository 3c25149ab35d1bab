"""What a training step gives back."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, slots=True)
class GLaMMOutput:
    """The loss, its unweighted parts and the masks.

    Args:
        loss: Weighted sum of the parts; what `backward` starts from.
        ce_loss: Mean over all supervised tokens of the batch.
        bce_loss: Mean over all masks; 0 without masks.
        dice_loss: Mean over all masks; 0 without masks.
        mask_logits: For each image, one float32 logit image a [SEG] at the original size; empty when the
            batch has no grounding pixels.
    """

    loss: Float[Tensor, ""]
    ce_loss: Float[Tensor, ""]
    bce_loss: Float[Tensor, ""]
    dice_loss: Float[Tensor, ""]
    mask_logits: tuple[Float[Tensor, "_ _ _"], ...]
