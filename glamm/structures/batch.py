"""What crosses from the data to the model, with shapes and value ranges.

Rows are conversations; several rows may be about one image, which is encoded once.
"""

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, TypeVar, cast

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from glamm.typing import Size

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    D = TypeVar("D", bound=DataclassInstance)
else:
    D = TypeVar("D")


@dataclass(frozen=True, slots=True)
class Batch:
    """One step's input.

    Args:
        global_pixels: uint8 images for the global image encoder, RGB, before normalisation.
        grounding_pixels: uint8 images for the grounding encoder, RGB, before normalisation; each fills the top left
            `resized_sizes[i]` of its square, the rest is padding (any value: the encoder zeroes it after
            normalisation). None when no row of the batch needs a mask.
        input_ids: Tokens with one IMAGE_PLACEHOLDER_ID a row, padded on the right.
        labels: `input_ids` where the token is supervised, IGNORE_LABEL elsewhere.
        attention_mask: False on padding.
        image_index: Which image each row is about; sorted, so that rows of an image stand together.
        boxes_xyxy_unit: Region prompts of each row in the order of its `<bbox>` tokens, xyxy in [0, 1].
        masks: Targets of each image in the order of the [SEG] tokens of its rows, at `original_sizes`. Empty
            when `grounding_pixels` is None.
        resized_sizes: (height, width) of each image inside the grounding square.
        original_sizes: (height, width) of each image as the user has it, or smaller where masks of that size would
            cost too much.
        sample_ids: Name of each row, for error messages and logs.
    """

    global_pixels: UInt8[Tensor, "images 3 global_height global_width"]
    grounding_pixels: UInt8[Tensor, "images 3 side side"] | None
    input_ids: Int[Tensor, "rows length"]
    labels: Int[Tensor, "rows length"]
    attention_mask: Bool[Tensor, "rows length"]
    image_index: Int[Tensor, " rows"]
    boxes_xyxy_unit: tuple[Float[Tensor, "_ 4"], ...]
    masks: tuple[Bool[Tensor, "_ _ _"], ...]
    resized_sizes: tuple[Size, ...]
    original_sizes: tuple[Size, ...]
    sample_ids: tuple[str, ...]

    @property
    def num_samples(self) -> int:
        """Conversations."""
        return len(self.input_ids)

    @property
    def num_tokens(self) -> int:
        """Tokens of words, an image counting as one."""
        return int(self.attention_mask.sum())


def to_device(batch: D, device: torch.device | str) -> D:
    """Copy a dataclass with every tensor, and every tuple of tensors, on a device."""
    changes = {item.name: _moved(getattr(batch, item.name), device) for item in fields(batch)}
    return replace(batch, **changes)


def _moved(value: Any, device: torch.device | str) -> Any:  # noqa: ANN401 - fields of any type
    if isinstance(value, Tensor):
        return value.to(device, non_blocking=True)
    if isinstance(value, tuple):
        return tuple(_moved(item, device) for item in cast("tuple[Any, ...]", value))
    return value
