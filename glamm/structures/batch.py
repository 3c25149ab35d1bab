"""The input of the model, with shapes and value ranges.

Several conversations may be about one image, which is encoded once.

Axis names: ``conversations`` and ``images`` of a batch; ``length`` tokens of the longest conversation.
"""

from dataclasses import dataclass, fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar, cast

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from glamm.structures.sample import Task
from glamm.typing import Size

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    D = TypeVar("D", bound=DataclassInstance)
else:
    D = TypeVar("D")


@dataclass(frozen=True, slots=True)
class Batch:
    """The input of one forward pass.

    Args:
        global_pixels: uint8 images for the global image encoder, RGB, before normalization.
        grounding_pixels: uint8 images for the grounding encoder, RGB, before normalization; each fills the top left
            `resized_sizes[i]` of its square, the rest is padding (any value: the encoder zeroes it after
            normalization). None when no conversation of the batch needs a mask.
        input_ids: Tokens with one IMAGE_PLACEHOLDER_ID in each conversation, padded on the right.
        labels: `input_ids` where the token is supervised, IGNORE_LABEL elsewhere.
        attention_mask: False on padding.
        image_index: Index of the image of each conversation; sorted, so that conversations about one image are adjacent.
        boxes_xyxy_unit: Region prompts of each conversation in the order of its `<bbox>` tokens, xyxy in [0, 1].
        masks: Targets of each image in the order of the [SEG] tokens of its conversations, at `original_sizes`. Empty
            when `grounding_pixels` is None.
        resized_sizes: (height, width) of each image inside the grounding square.
        original_sizes: (height, width) of the masks of each image: the size of the image file, or a smaller one to limit
            the cost of the loss.
        sample_ids: `Sample.sample_id` of each conversation, for error messages and logs.
        task: Of all conversations; None where they may have several, as in training.
    """

    global_pixels: UInt8[Tensor, "images 3 global_height global_width"]
    grounding_pixels: UInt8[Tensor, "images 3 side side"] | None
    input_ids: Int[Tensor, "conversations length"]
    labels: Int[Tensor, "conversations length"]
    attention_mask: Bool[Tensor, "conversations length"]
    image_index: Int[Tensor, " conversations"]
    boxes_xyxy_unit: tuple[Float[Tensor, "_ 4"], ...]
    masks: tuple[Bool[Tensor, "_ _ _"], ...]
    resized_sizes: tuple[Size, ...]
    original_sizes: tuple[Size, ...]
    sample_ids: tuple[str, ...]
    task: Task | None = None

    @property
    def num_samples(self) -> int:
        """Number of conversations."""
        return len(self.input_ids)

    @property
    def num_tokens(self) -> int:
        """Number of tokens without padding; an image counts as one."""
        return int(self.attention_mask.sum())


def to_device(batch: D, device: torch.device | str) -> D:
    """A copy of a dataclass whose tensors, also those in tuples, are on a device."""
    changes = {item.name: _moved(getattr(batch, item.name), device) for item in fields(batch)}
    return replace(batch, **changes)


def tensor_bytes(value: object) -> int:
    """Memory of all tensors in a tensor, a tuple or a dataclass."""
    if isinstance(value, Tensor):
        return value.numel() * value.element_size()
    if isinstance(value, tuple):
        return sum(tensor_bytes(item) for item in cast("tuple[object, ...]", value))
    if is_dataclass(value):
        return sum(tensor_bytes(getattr(value, item.name)) for item in fields(value))
    return 0


def _moved(value: Any, device: torch.device | str) -> Any:  # noqa: ANN401 - fields of any type
    if isinstance(value, Tensor):
        return value.to(device, non_blocking=True)
    if isinstance(value, tuple):
        return tuple(_moved(item, device) for item in cast("tuple[Any, ...]", value))
    return value
