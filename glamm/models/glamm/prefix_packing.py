"""Conversations about one image begin alike: system text and image tokens are read once for all of them.

Rows about one image become one sequence, the common start followed by what is each row's own. A position sees the
start and its own row, and counts from the start, so that every state is what it would be in a row by itself.

Axis names: ``images`` sequences, ``places`` positions in them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True, slots=True)
class SharedStarts:
    """Where the positions of rows go in sequences of whole images.

    Args:
        source: For each place, a position among those of all rows, one row after the other.
        positions: For each place, its position in its row.
        sees: Which places a place attends to; always itself.
        target: For each position of a row, its place among those of all sequences.
    """

    source: Int[Tensor, "images places"]
    positions: Int[Tensor, "images places"]
    sees: Bool[Tensor, "images 1 places places"]
    target: Int[Tensor, "rows positions"]

    def pack(
        self, embeddings: Float[Tensor, "rows positions hidden"]
    ) -> Float[Tensor, "images places hidden"]:
        """From rows to sequences; padding holds anything."""
        return embeddings.flatten(0, 1)[self.source]

    def unpack(
        self, states: Float[Tensor, "images places hidden"]
    ) -> Float[Tensor, "rows positions hidden"]:
        """From sequences to rows; padding holds anything."""
        return states.flatten(0, 1)[self.target]


def find_shared_starts(
    token_ids: Int[Tensor, "rows positions"],
    attention_mask: Bool[Tensor, "rows positions"],
    image_index: Int[Tensor, " rows"],
    *,
    own_token_id: int,
) -> SharedStarts | None:
    """Find what the rows of each image begin with.

    Args:
        token_ids: Tokens; image tokens have one id.
        attention_mask: False on padding, which lies on the right.
        image_index: Image of each row, sorted.
        own_token_id: Stands for something that is another one in every row: `<bbox>`.

    Returns:
        None where nothing is saved.
    """
    rows = list(range(len(token_ids)))
    lengths = attention_mask.sum(1).tolist()
    images = image_index.tolist()
    first = [images.index(image) for image in images]
    if first == rows:
        return None
    of_first = torch.tensor(first, device=token_ids.device)
    is_same = (token_ids == token_ids[of_first]) & attention_mask & attention_mask[of_first]
    is_same &= token_ids != own_token_id
    common = is_same.int().cumprod(1).sum(1).tolist()
    groups = [[row for row in rows if first[row] == leader] for leader in sorted(set(first))]
    starts = [min(common[row] for row in group) for group in groups]
    layout = _lay_out(groups, starts, lengths, token_ids.shape[1])
    if layout[0].numel() >= token_ids.numel():
        return None
    source, positions, owner, target = (one.to(token_ids.device) for one in layout)
    place = torch.arange(source.shape[1], device=source.device)
    is_before = place[:, None] >= place
    is_own = (owner[:, None, :] == 0) | (owner[:, None, :] == owner[:, :, None])
    is_self = place[:, None] == place
    return SharedStarts(source, positions, (is_before & is_own | is_self)[:, None], target)


def _lay_out(
    groups: Sequence[Sequence[int]],
    starts: Sequence[int],
    lengths: Sequence[int],
    num_positions: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Source, position, owner (0 for the start and padding, else 1, 2, ...) of places, and target of positions."""
    target = torch.zeros(sum(map(len, groups)), num_positions, dtype=torch.long)
    sizes = [
        start + sum(lengths[row] - start for row in group)
        for group, start in zip(groups, starts, strict=True)
    ]
    num_places = max(sizes)
    source, positions, owner = torch.zeros(3, len(groups), num_places, dtype=torch.long)
    for index, (group, start) in enumerate(zip(groups, starts, strict=True)):
        positions[index, :start] = torch.arange(start)
        source[index, :start] = group[0] * num_positions + positions[index, :start]
        place = start
        for number, row in enumerate(group, 1):
            own = torch.arange(start, lengths[row])
            places = slice(place, place + len(own))
            positions[index, places], owner[index, places] = own, number
            source[index, places] = row * num_positions + own
            target[row, :start] = index * num_places + torch.arange(start)
            target[row, start : lengths[row]] = index * num_places + torch.arange(
                place, place + len(own)
            )
            place += len(own)
    return source, positions, owner, target
