"""Keys and values of a running batch: one slot a row, rows come and go.

Axis names: ``rows`` running answers, ``capacity`` positions that a slot has room for, ``length`` positions in use.
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import DynamicCache

_ROOM = 256
"""Slots grow in steps of so many positions."""


@dataclass(frozen=True, slots=True)
class PrefixKV:
    """Keys and values of one row.

    Args:
        keys: One tensor a layer.
        values: Likewise.
    """

    keys: tuple[Float[Tensor, "1 heads length width"], ...]
    values: tuple[Float[Tensor, "1 heads length width"], ...]

    @property
    def length(self) -> int:
        """Positions."""
        return self.keys[0].shape[2]

    @classmethod
    def of(cls, cache: DynamicCache) -> "PrefixKV":
        """What a prefill left."""
        layers: list[Any] = list(cache.layers)  # their common class promises no keys
        return cls(tuple(layer.keys for layer in layers), tuple(layer.values for layer in layers))

    def first(self, length: int) -> "PrefixKV":
        """A copy of the first positions."""
        return PrefixKV(
            tuple(one[:, :, :length].clone() for one in self.keys),
            tuple(one[:, :, :length].clone() for one in self.values),
        )

    def to_cache(self) -> DynamicCache:
        """As a prefill that goes on from here wants it."""
        cache = DynamicCache()
        for index, (keys, values) in enumerate(zip(self.keys, self.values, strict=True)):
            cache.update(keys, values, index)
        return cache


class BatchedKVCache:
    """Keys and values of all running rows; a language model takes it as its cache, one new token a row.

    Every row writes at its own position, so rows of different lengths run together without padding in between.

    Args:
        max_batch_size: Slots.
        max_length: Most positions of a row.
        is_static: Always show all slots and all positions, so that every step has the same shapes and can be
            compiled once.
    """

    def __init__(self, *, max_batch_size: int, max_length: int, is_static: bool = False) -> None:
        self._max_rows, self._max_length, self._is_static = max_batch_size, max_length, is_static
        self._keys: list[Tensor] = []
        self._values: list[Tensor] = []
        self.lengths: list[int] = []
        self._step = _Step.nothing()

    def __len__(self) -> int:
        return len(self.lengths)

    def append(self, row: PrefixKV) -> None:
        """Take a prefilled row in; it becomes the last."""
        slot = len(self.lengths)
        self._make_room(row, slot + 1, row.length + 1)
        for slots, parts in ((self._keys, row.keys), (self._values, row.values)):
            for one, part in zip(slots, parts, strict=True):
                one[slot, :, : row.length] = part[0]
        self.lengths.append(row.length)

    def remove(self, slot: int) -> None:
        """Let a row go; the last one takes its slot."""
        last = len(self.lengths) - 1
        if slot != last:
            length = self.lengths[last]
            for one in (*self._keys, *self._values):
                one[slot, :, :length] = one[last, :, :length]
        self.lengths[slot] = self.lengths[last]
        self.lengths.pop()

    def begin_step(self) -> "StepShape":
        """Say where the next token of every row goes; each row is one longer afterwards."""
        num_rows = self._max_rows if self._is_static else len(self.lengths)
        places = self.lengths + [0] * (num_rows - len(self.lengths))
        device = self._keys[0].device
        end = self._max_length if self._is_static else max(places) + 1
        if end > self._capacity:
            self._grow(len(self._keys[0]), end)
        positions = torch.tensor(places, device=device)
        mask = torch.arange(end, device=device) <= positions[:, None]
        self._step = _Step(torch.arange(num_rows, device=device), positions, end)
        self.lengths = [length + 1 for length in self.lengths]
        return StepShape(positions[:, None], mask[:, None, None])

    def update(
        self,
        keys: Float[Tensor, "rows heads 1 width"],
        values: Float[Tensor, "rows heads 1 width"],
        layer: int,
        *_: object,
        **__: object,
    ) -> tuple[Float[Tensor, "rows heads length width"], Float[Tensor, "rows heads length width"]]:
        """What a layer calls: take its new keys and values, give all so far."""
        step = self._step
        shown: list[Tensor] = []
        for slots, new in ((self._keys[layer], keys), (self._values[layer], values)):
            slots[step.rows, :, step.positions] = new[:, :, 0]
            shown.append(slots[: len(step.rows), :, : step.end])
        return shown[0], shown[1]

    @property
    def _capacity(self) -> int:
        return self._keys[0].shape[2] if self._keys else 0

    def _make_room(self, row: PrefixKV, num_rows: int, length: int) -> None:
        if not self._keys:
            self._keys = [part.new_zeros((0, part.shape[1], 0, part.shape[3])) for part in row.keys]
            self._values = [
                part.new_zeros((0, part.shape[1], 0, part.shape[3])) for part in row.values
            ]
        if self._is_static:
            num_rows, length = self._max_rows, self._max_length
        if num_rows > len(self._keys[0]) or length > self._capacity:
            self._grow(max(num_rows, len(self._keys[0])), max(length, self._capacity))

    def _grow(self, num_rows: int, length: int) -> None:
        doubled = min(self._max_rows, 1 << (num_rows - 1).bit_length())
        rounded = min(self._max_length, -(-length // _ROOM) * _ROOM)
        for slots in (self._keys, self._values):
            for index, old in enumerate(slots):
                new = old.new_zeros((doubled, old.shape[1], rounded, old.shape[3]))
                new[: old.shape[0], :, : old.shape[2]] = old
                slots[index] = new


@dataclass(frozen=True, slots=True)
class StepShape:
    """Where the next token of every row stands, and what it sees.

    Args:
        positions: One a row.
        mask: True where a row may look.
    """

    positions: Int[Tensor, "rows 1"]
    mask: Bool[Tensor, "rows 1 1 length"]


@dataclass(frozen=True, slots=True)
class _Step:
    rows: Tensor
    positions: Tensor
    end: int

    @classmethod
    def nothing(cls) -> "_Step":
        return cls(torch.empty(0, dtype=torch.long), torch.empty(0, dtype=torch.long), 0)
