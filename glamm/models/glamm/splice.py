"""Put image tokens and region features where the placeholders of a prompt are.

Axis names: ``length`` counts tokens as typed, ``positions`` tokens after each image placeholder was expanded.
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
    """Where the image tokens of each row go.

    Args:
        start: Position of the first image token of each row; equal to the placeholder's place in the tokens.
        num_tokens: Image tokens of an image.
        length: Tokens of a row as typed, padding included.
    """

    start: Int[Tensor, " rows"]
    num_tokens: int
    length: int

    def sources(self) -> Int[Tensor, "rows positions"]:
        """For every position, its index into `cat([tokens as typed, image tokens])`."""
        start = self.start[:, None]
        position = torch.arange(self.length - 1 + self.num_tokens, device=start.device)[None]
        after = position - self.num_tokens + 1
        image = self.length + position - start
        is_image = (position >= start) & (position < start + self.num_tokens)
        return torch.where(is_image, image, torch.where(position < start, position, after))

    def expand(
        self, values: Int[Tensor, "rows length"] | Bool[Tensor, "rows length"], *, image_value: int
    ) -> Int[Tensor, "rows positions"] | Bool[Tensor, "rows positions"]:
        """Carry a value a token to a value a position; image positions get `image_value`."""
        image = values.new_full((len(values), self.num_tokens), image_value)
        return torch.cat([values, image], dim=1).gather(1, self.sources())

    def expand_embeddings(
        self,
        text: Float[Tensor, "rows length hidden"],
        image: Float[Tensor, "rows tokens hidden"],
    ) -> Float[Tensor, "rows positions hidden"]:
        """Put image tokens between the embeddings of the text."""
        both = torch.cat([text, image.to(text.dtype)], dim=1)
        index = self.sources()[..., None].expand(-1, -1, text.shape[-1])
        return both.gather(1, index)


def find_image_span(
    input_ids: Int[Tensor, "rows length"], *, num_tokens: int, sample_ids: Sequence[str]
) -> ImageSpan:
    """Find the image placeholder of each row.

    Args:
        input_ids: Tokens.
        num_tokens: Image tokens of an image.
        sample_ids: Names of the rows, for the message.

    Raises:
        DataError: A row has not exactly one placeholder.
    """
    is_image = input_ids == IMAGE_PLACEHOLDER_ID
    for row, count in enumerate(is_image.sum(1).tolist()):
        if count != 1:
            raise DataError(
                f"{count} image placeholders, a conversation needs exactly 1",
                record=sample_ids[row],
            )
    return ImageSpan(is_image.int().argmax(1), num_tokens, input_ids.shape[1])


def place_regions(
    embeddings: Float[Tensor, "rows length hidden"],
    is_region: Bool[Tensor, "rows length"],
    features: Float[Tensor, "regions hidden"],
) -> Float[Tensor, "rows length hidden"]:
    """Replace the embedding of every `<bbox>` by its region's, in order of occurrence."""
    return embeddings.masked_scatter(is_region[..., None], features.to(embeddings.dtype))


def check_counts(
    found: Sequence[int],
    given: Sequence[int],
    *,
    placeholder: str,
    things: str,
    names: Sequence[str],
) -> None:
    """Make sure that special tokens and what they stand for come in equal numbers.

    Raises:
        DataError: With both numbers and the name of the first that differs.
    """
    for tokens, count, name in zip(found, given, names, strict=True):
        if tokens != count:
            raise DataError(
                f"{tokens} {placeholder} tokens and {count} {things}; they must be equally many",
                record=name,
            )


def check_mask_sizes(
    masks: Sequence[Bool[Tensor, "_ _ _"]], sizes: Sequence[Size], names: Sequence[str]
) -> None:
    """Make sure that masks have the size of their image.

    Raises:
        DataError: With both sizes and the name of the first that differs.
    """
    for mask, size, name in zip(masks, sizes, names, strict=True):
        if tuple(mask.shape[1:]) != size:
            raise DataError(
                f"masks of {mask.shape[1]} x {mask.shape[2]} for an image of {size[0]} x {size[1]}",
                record=name,
            )
