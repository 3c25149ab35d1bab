"""The training losses: cross-entropy of tokens, binary cross-entropy and dice loss of masks. Pure functions."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from glamm.structures.ids import IGNORE_LABEL

DICE_SCALE = 1000.0
"""Divides sums of pixels so that they do not overflow in half precision; it also scales the effect of SMOOTHING."""

SMOOTHING = 1e-6
COUNT_SMOOTHING = 1e-8


def predicting_positions(
    labels: Int[Tensor, "conversations positions"],
) -> Int[Tensor, "supervised 2"]:
    """(conversation, position) of every state that predicts a supervised token: one position before the token."""
    return (labels[:, 1:] != IGNORE_LABEL).nonzero()


def token_losses(
    logits: Float[Tensor, "supervised vocabulary"], targets: Int[Tensor, " supervised"]
) -> Float[Tensor, " supervised"]:
    """Cross-entropy of each supervised token, in float32."""
    return functional.cross_entropy(logits.float(), targets, reduction="none")


def mask_losses(
    mask_logits: Sequence[Float[Tensor, "_ _ _"]], targets: Sequence[Bool[Tensor, "_ _ _"]]
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Binary cross-entropy and dice loss, each the mean over all masks of the batch.

    Args:
        mask_logits: For each image, its masks before the sigmoid, at the original size; an image may have none.
        targets: For each image, as many masks of the same size.

    Returns:
        (bce, dice); zeros if the batch has no masks.

    Upstream: every mask has the same weight, regardless of its size and its image.
    Source: LISA's `sigmoid_ce_loss` and `dice_loss`.
    """
    bce, dice = [], []
    for logits, target in zip(mask_logits, targets, strict=True):
        truth = target.to(logits.dtype)
        bce.append(
            functional.binary_cross_entropy_with_logits(logits, truth, reduction="none").mean(
                (1, 2)
            )
        )
        dice.append(_dice(logits, truth))
    count = sum(len(losses) for losses in bce)
    return (
        torch.cat(bce).sum() / (count + COUNT_SMOOTHING),
        torch.cat(dice).sum() / (count + COUNT_SMOOTHING),
    )


def _dice(
    logits: Float[Tensor, "masks height width"], truth: Float[Tensor, "masks height width"]
) -> Float[Tensor, " masks"]:
    probabilities, truth = logits.sigmoid().flatten(1), truth.flatten(1)
    overlap = (probabilities / DICE_SCALE * truth).sum(1)
    total = (probabilities / DICE_SCALE).sum(1) + (truth / DICE_SCALE).sum(1)
    return 1 - (2 * overlap + SMOOTHING) / (total + SMOOTHING)
