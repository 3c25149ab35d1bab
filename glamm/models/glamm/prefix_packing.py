"""Compute the common prefix of conversations about one image once.

Conversations about one image begin with the same system text and image tokens. They are packed into one sequence: the
common prefix, then the rest of each conversation. A slot attends to the prefix and to its own conversation, and keeps its
position in the conversation, so that every state equals that of the conversation by itself.

Axis names: ``conversations`` of a batch, ``positions`` in a conversation, ``images`` packed sequences, ``slots`` in a packed
sequence.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True, slots=True)
class PackedPrefixes:
    """How conversations are packed into one sequence per image.

    Args:
        source: For each slot, an index into the flattened positions of all conversations.
        positions: For each slot, its position in its conversation.
        attention_mask: True where a slot attends to another; it always attends to itself.
        target: For each position of a conversation, an index into the flattened slots of all images.
    """

    source: Int[Tensor, "images slots"]
    positions: Int[Tensor, "images slots"]
    attention_mask: Bool[Tensor, "images 1 slots slots"]
    target: Int[Tensor, "conversations positions"]

    def pack(
        self, embeddings: Float[Tensor, "conversations positions hidden"]
    ) -> Float[Tensor, "images slots hidden"]:
        """From conversations to packed sequences; values on padding are arbitrary."""
        return embeddings.flatten(0, 1)[self.source]

    def unpack(
        self, states: Float[Tensor, "images slots hidden"]
    ) -> Float[Tensor, "conversations positions hidden"]:
        """From packed sequences to conversations; values on padding are arbitrary."""
        return states.flatten(0, 1)[self.target]


def find_shared_prefixes(
    token_ids: Int[Tensor, "conversations positions"],
    attention_mask: Bool[Tensor, "conversations positions"],
    image_index: Int[Tensor, " conversations"],
    *,
    region_token_id: int,
) -> PackedPrefixes | None:
    """Find the common prefix of each image's conversations.

    Args:
        token_ids: IMAGE_PLACEHOLDER_ID at image tokens.
        attention_mask: False on padding, which lies on the right.
        image_index: Image of each conversation, sorted.
        region_token_id: The id of `<bbox>`; it has another embedding in every conversation and ends a prefix.

    Returns:
        None if packing would save nothing.
    """
    conversations = list(range(len(token_ids)))
    lengths = attention_mask.sum(1).tolist()
    images = image_index.tolist()
    first = [images.index(image) for image in images]
    if first == conversations:
        return None
    of_first = torch.tensor(first, device=token_ids.device)
    is_same = (token_ids == token_ids[of_first]) & attention_mask & attention_mask[of_first]
    is_same &= token_ids != region_token_id
    common = is_same.int().cumprod(1).sum(1).tolist()
    groups = [
        [index for index in conversations if first[index] == leader]
        for leader in sorted(set(first))
    ]
    prefix_lengths = [min(common[index] for index in group) for group in groups]
    layout = _lay_out(groups, prefix_lengths, lengths, token_ids.shape[1])
    if layout[0].numel() >= token_ids.numel():
        return None
    source, positions, owner, target = (tensor.to(token_ids.device) for tensor in layout)
    slot = torch.arange(source.shape[1], device=source.device)
    is_before = slot[:, None] >= slot
    is_visible = (owner[:, None, :] == 0) | (owner[:, None, :] == owner[:, :, None])
    is_self = slot[:, None] == slot
    mask = (is_before & is_visible | is_self)[:, None]
    return PackedPrefixes(source, positions, mask, target)


def _lay_out(
    groups: Sequence[Sequence[int]],
    prefix_lengths: Sequence[int],
    lengths: Sequence[int],
    num_positions: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Assign positions to slots.

    Args:
        groups: Conversations of each image.
        prefix_lengths: Length of the common prefix of each group.
        lengths: Length of each conversation.
        num_positions: Length of a conversation with padding.

    Returns:
        Source, position and owner of each slot, and the target of each position. The owner is 0 for the prefix and for
        padding, else 1 + the conversation's index in its group.
    """
    target = torch.zeros(sum(map(len, groups)), num_positions, dtype=torch.long)
    sizes = [
        prefix + sum(lengths[index] - prefix for index in group)
        for group, prefix in zip(groups, prefix_lengths, strict=True)
    ]
    num_slots = max(sizes)
    source, positions, owner = torch.zeros(3, len(groups), num_slots, dtype=torch.long)
    for image, (group, prefix) in enumerate(zip(groups, prefix_lengths, strict=True)):
        positions[image, :prefix] = torch.arange(prefix)
        source[image, :prefix] = group[0] * num_positions + positions[image, :prefix]
        start = prefix
        for number, index in enumerate(group, 1):
            rest = torch.arange(prefix, lengths[index])
            slots = slice(start, start + len(rest))
            positions[image, slots], owner[image, slots] = rest, number
            source[image, slots] = index * num_positions + rest
            target[index, :prefix] = image * num_slots + torch.arange(prefix)
            target[index, prefix : lengths[index]] = image * num_slots + torch.arange(
                start, start + len(rest)
            )
            start += len(rest)
    return source, positions, owner, target
