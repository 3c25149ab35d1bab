"""The KV cache of a running batch: every running request has a slot; slots are taken and freed between decode steps.

Axis names: ``slots`` in use, ``capacity`` positions allocated per slot, ``length`` positions in use.
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import DynamicCache

_CAPACITY_STEP = 256
"""The capacity grows by multiples of this number of positions."""


@dataclass(frozen=True, slots=True)
class PrefixKV:
    """Keys and values of one sequence, from its first position on.

    Args:
        keys: One tensor per layer.
        values: One tensor per layer.
    """

    keys: tuple[Float[Tensor, "1 heads length width"], ...]
    values: tuple[Float[Tensor, "1 heads length width"], ...]

    @property
    def length(self) -> int:
        """Number of positions."""
        return self.keys[0].shape[2]

    @classmethod
    def from_cache(cls, cache: DynamicCache) -> "PrefixKV":
        """Keys and values of a cache that a prefill has filled."""
        layers: list[Any] = list(cache.layers)  # the common class of layers does not declare keys
        return cls(tuple(layer.keys for layer in layers), tuple(layer.values for layer in layers))

    def prefix(self, length: int) -> "PrefixKV":
        """A copy of the first `length` positions."""
        return PrefixKV(
            tuple(keys[:, :, :length].clone() for keys in self.keys),
            tuple(values[:, :, :length].clone() for values in self.values),
        )

    def to_cache(self) -> DynamicCache:
        """A cache with which a prefill continues after these positions."""
        cache = DynamicCache()
        for index, (keys, values) in enumerate(zip(self.keys, self.values, strict=True)):
            cache.update(keys, values, index)
        return cache


@dataclass(frozen=True, slots=True)
class StepInputs:
    """Inputs of the language model that depend on the lengths of the running sequences.

    Args:
        position_ids: Position of each slot's next token.
        attention_mask: True at positions that the slot attends to.
    """

    position_ids: Int[Tensor, "slots 1"]
    attention_mask: Bool[Tensor, "slots 1 1 length"]


class BatchedKVCache:
    """Keys and values of all running sequences; passed to the language model as its cache, one new token per slot.

    Every slot writes at its own position: sequences of different lengths run together without padding between them.

    Args:
        max_batch_size: Most slots.
        max_length: Most positions of a sequence.
        is_static: Always use all slots and all positions, so that every step has the same shapes and can be compiled
            once.
    """

    def __init__(self, *, max_batch_size: int, max_length: int, is_static: bool = False) -> None:
        self._max_batch_size, self._max_length = max_batch_size, max_length
        self._is_static = is_static
        self._keys: list[Tensor] = []
        self._values: list[Tensor] = []
        self.lengths: list[int] = []
        self._step = _WriteIndex.empty()

    def __len__(self) -> int:
        return len(self.lengths)

    def append(self, sequence: PrefixKV) -> None:
        """Copy a prefilled sequence into a new slot, the last one."""
        slot = len(self.lengths)
        self._reserve(sequence, slot + 1, sequence.length + 1)
        for buffers, layers in ((self._keys, sequence.keys), (self._values, sequence.values)):
            for buffer, layer in zip(buffers, layers, strict=True):
                buffer[slot, :, : sequence.length] = layer[0]
        self.lengths.append(sequence.length)

    def remove(self, slot: int) -> None:
        """Free a slot; the sequence of the last slot moves into it."""
        last = len(self.lengths) - 1
        if slot != last:
            length = self.lengths[last]
            for buffer in (*self._keys, *self._values):
                buffer[slot, :, :length] = buffer[last, :, :length]
        self.lengths[slot] = self.lengths[last]
        self.lengths.pop()

    def begin_step(self) -> StepInputs:
        """Reserve one position in every slot for its next token."""
        num_slots = self._max_batch_size if self._is_static else len(self.lengths)
        next_positions = self.lengths + [0] * (num_slots - len(self.lengths))
        device = self._keys[0].device
        end = self._max_length if self._is_static else max(next_positions) + 1
        if end > self._capacity:
            self._grow(len(self._keys[0]), end)
        positions = torch.tensor(next_positions, device=device)
        mask = torch.arange(end, device=device) <= positions[:, None]
        self._step = _WriteIndex(torch.arange(num_slots, device=device), positions, end)
        self.lengths = [length + 1 for length in self.lengths]
        return StepInputs(positions[:, None], mask[:, None, None])

    def update(
        self,
        keys: Float[Tensor, "slots heads 1 width"],
        values: Float[Tensor, "slots heads 1 width"],
        layer: int,
        *_: object,
        **__: object,
    ) -> tuple[
        Float[Tensor, "slots heads length width"], Float[Tensor, "slots heads length width"]
    ]:
        """Store the new keys and values of a layer and return all of them; the layer calls this."""
        step = self._step
        stored: list[Tensor] = []
        for buffer, new in ((self._keys[layer], keys), (self._values[layer], values)):
            buffer[step.slots, :, step.positions] = new[:, :, 0]
            stored.append(buffer[: len(step.slots), :, : step.end])
        return stored[0], stored[1]

    @property
    def _capacity(self) -> int:
        return self._keys[0].shape[2] if self._keys else 0

    def _reserve(self, sequence: PrefixKV, num_slots: int, length: int) -> None:
        if not self._keys:
            self._keys = [
                layer.new_zeros((0, layer.shape[1], 0, layer.shape[3])) for layer in sequence.keys
            ]
            self._values = [
                layer.new_zeros((0, layer.shape[1], 0, layer.shape[3])) for layer in sequence.values
            ]
        if self._is_static:
            num_slots, length = self._max_batch_size, self._max_length
        if num_slots > len(self._keys[0]) or length > self._capacity:
            self._grow(max(num_slots, len(self._keys[0])), max(length, self._capacity))

    def _grow(self, num_slots: int, length: int) -> None:
        doubled = min(self._max_batch_size, 1 << (num_slots - 1).bit_length())
        rounded = min(self._max_length, -(-length // _CAPACITY_STEP) * _CAPACITY_STEP)
        for buffers in (self._keys, self._values):
            for index, old in enumerate(buffers):
                new = old.new_zeros((doubled, old.shape[1], rounded, old.shape[3]))
                new[: old.shape[0], :, : old.shape[2]] = old
                buffers[index] = new


@dataclass(frozen=True, slots=True)
class _WriteIndex:
    """Where the current step writes: one position in each slot, all of them before `end`."""

    slots: Tensor
    positions: Tensor
    end: int

    @classmethod
    def empty(cls) -> "_WriteIndex":
        return cls(torch.empty(0, dtype=torch.long), torch.empty(0, dtype=torch.long), 0)
