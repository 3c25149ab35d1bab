"""Replace the placeholders of a prompt by image tokens and region embeddings.

Axis names: ``conversations`` of a batch, ``length`` tokens before each image placeholder is replaced by its image tokens,
``positions`` tokens after it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from glamm.errors import DataError
from glamm.structures.ids import IMAGE_PLACEHOLDER_ID
from glamm.typing import Size


@dataclass(frozen=True, slots=True)
class ImageSpan:
    """Positions of the image tokens in each conversation.

    Args:
        start: Position of the first image token; equal to the index of the placeholder.
        num_tokens: Image tokens per image.
        length: Tokens per conversation before the replacement, padding included.
    """

    start: Int[Tensor, " conversations"]
    num_tokens: int
    length: int

    def sources(self) -> Int[Tensor, "conversations positions"]:
        """For every position, its index into `cat([tokens, image tokens])`."""
        start = self.start[:, None]
        position = torch.arange(self.length - 1 + self.num_tokens, device=start.device)[None]
        after = position - self.num_tokens + 1
        image = self.length + position - start
        is_image = (position >= start) & (position < start + self.num_tokens)
        return torch.where(is_image, image, torch.where(position < start, position, after))

    def expand(
        self,
        values: Int[Tensor, "conversations length"] | Bool[Tensor, "conversations length"],
        *,
        image_value: int,
    ) -> Int[Tensor, "conversations positions"] | Bool[Tensor, "conversations positions"]:
        """Turn one value per token into one value per position; image tokens get `image_value`."""
        image = values.new_full((len(values), self.num_tokens), image_value)
        return torch.cat([values, image], dim=1).gather(1, self.sources())

    def expand_embeddings(
        self,
        text: Float[Tensor, "conversations length hidden"],
        image: Float[Tensor, "conversations tokens hidden"],
    ) -> Float[Tensor, "conversations positions hidden"]:
        """Insert image tokens into the embeddings of the text."""
        both = torch.cat([text, image.to(text.dtype)], dim=1)
        index = self.sources()[..., None].expand(-1, -1, text.shape[-1])
        return both.gather(1, index)


def find_image_span(
    input_ids: Int[Tensor, "conversations length"], *, num_tokens: int, sample_ids: Sequence[str]
) -> ImageSpan:
    """Find the image placeholder of each conversation.

    Args:
        input_ids: With one IMAGE_PLACEHOLDER_ID per conversation.
        num_tokens: Image tokens per image.
        sample_ids: One per conversation, for the error message.

    Raises:
        DataError: A conversation does not have exactly one placeholder.
    """
    is_image = input_ids == IMAGE_PLACEHOLDER_ID
    for index, count in enumerate(is_image.sum(1).tolist()):
        if count != 1:
            raise DataError(
                f"{count} image placeholders, a conversation needs exactly 1",
                record=sample_ids[index],
            )
    return ImageSpan(is_image.int().argmax(1), num_tokens, input_ids.shape[1])


def scatter_region_embeddings(
    embeddings: Float[Tensor, "conversations length hidden"],
    is_region: Bool[Tensor, "conversations length"],
    features: Float[Tensor, "regions hidden"],
) -> Float[Tensor, "conversations length hidden"]:
    """Replace the embedding of every `<bbox>` token by the embedding of its region, in order of occurrence."""
    return embeddings.masked_scatter(is_region[..., None], features.to(embeddings.dtype))


def check_counts(
    num_tokens: Sequence[int],
    num_items: Sequence[int],
    *,
    placeholder: str,
    items: str,
    sample_ids: Sequence[str],
) -> None:
    """Check that there are as many special tokens as items that they stand for.

    Args:
        num_tokens: Special tokens of each sample.
        num_items: Boxes or masks of each sample.
        placeholder: The special token, for the message.
        items: Plural name of the items, for the message.
        sample_ids: One per sample, for the message.

    Raises:
        DataError: The counts of a sample differ; the message names the first such sample.
    """
    for tokens, count, sample_id in zip(num_tokens, num_items, sample_ids, strict=True):
        if tokens != count:
            raise DataError(
                f"{tokens} {placeholder} tokens and {count} {items}; the numbers must be equal",
                record=sample_id,
            )


def check_mask_sizes(
    masks: Sequence[Bool[Tensor, "_ _ _"]], sizes: Sequence[Size], sample_ids: Sequence[str]
) -> None:
    """Check that masks have the size of their image.

    Args:
        masks: Those of each image.
        sizes: (height, width) of each image.
        sample_ids: One per image, for the message.

    Raises:
        DataError: The sizes of an image differ; the message names the first such image.
    """
    for mask, size, sample_id in zip(masks, sizes, sample_ids, strict=True):
        if tuple(mask.shape[1:]) != size:
            raise DataError(
                f"masks of {mask.shape[1]} x {mask.shape[2]} for an image of {size[0]} x {size[1]}",
                record=sample_id,
            )
