"""What crosses from the data to the model, with shapes and value ranges.

Rows are conversations; several rows may be about one picture, which is encoded once.
"""

from dataclasses import dataclass, fields, replace

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from glamm.typing import Size

IGNORE_LABEL = -100
"""Label of a position that is not supervised."""

IMAGE_PLACEHOLDER_ID = -200
"""Stands in `input_ids` where the picture's tokens will be; never in a vocabulary."""


@dataclass(frozen=True, slots=True)
class Batch:
    """One step's input.

    Args:
        global_pixels: uint8 pictures for the global image encoder, RGB, before normalisation.
        grounding_pixels: uint8 pictures for the grounding encoder, RGB, before normalisation; each fills the top left
            `resized_sizes[i]` of its square, the rest is padding (any value: the encoder zeroes it after
            normalisation). None when no row of the batch needs a mask.
        input_ids: Tokens with one IMAGE_PLACEHOLDER_ID a row, padded on the right.
        labels: `input_ids` where the token is supervised, IGNORE_LABEL elsewhere.
        attention_mask: False on padding.
        image_index: Which picture each row is about; sorted, so that rows of a picture stand together.
        boxes_xyxy_unit: Region prompts of each row in the order of its `<bbox>` tokens, xyxy in [0, 1].
        masks: Targets of each picture in the order of the [SEG] tokens of its rows, at `original_sizes`. Empty
            when `grounding_pixels` is None.
        resized_sizes: (height, width) of each picture inside the grounding square.
        original_sizes: (height, width) of each picture as the user has it.
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

    def to(self, device: torch.device | str) -> "Batch":
        """Copy every tensor to a device."""
        changes: dict[str, object] = {}
        for item in fields(self):
            value: object = getattr(self, item.name)
            if isinstance(value, Tensor):
                changes[item.name] = value.to(device, non_blocking=True)
        for name in ("boxes_xyxy_unit", "masks"):
            tensors: tuple[Tensor, ...] = getattr(self, name)
            changes[name] = tuple(tensor.to(device, non_blocking=True) for tensor in tensors)
        return replace(self, **changes)
