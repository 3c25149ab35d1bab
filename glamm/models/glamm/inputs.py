"""The input of the language model."""

from dataclasses import dataclass

from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True, slots=True)
class MultimodalInputs:
    """Input of the language model: text, image tokens and regions, all embedded.

    Args:
        embeddings: Of text, image tokens and regions, in reading order.
        attention_mask: False on padding.
        token_ids: The token at each position; IMAGE_PLACEHOLDER_ID at image tokens.
        labels: IGNORE_LABEL where nothing is supervised.
        image_index: Image of each conversation, sorted.
    """

    embeddings: Float[Tensor, "conversations positions hidden"]
    attention_mask: Bool[Tensor, "conversations positions"]
    token_ids: Int[Tensor, "conversations positions"]
    labels: Int[Tensor, "conversations positions"]
    image_index: Int[Tensor, " conversations"]
