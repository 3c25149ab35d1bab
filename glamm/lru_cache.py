"""What was computed about an image, kept for the next question: bounded in bytes, the longest unused goes first."""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import fields, is_dataclass
from typing import TypeVar, cast

from torch import Tensor

T = TypeVar("T")


class ContentCache:
    """Values by the content that they were computed from.

    Args:
        max_bytes: Of all values together; a larger value is not kept. 0 keeps nothing.
    """

    def __init__(self, *, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._values: OrderedDict[Hashable, tuple[object, int]] = OrderedDict()
        self.num_bytes = 0

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: Hashable, kind: type[T]) -> T | None:
        """The value of a key, which becomes the most recently used; None if there is none."""
        if key not in self._values:
            return None
        self._values.move_to_end(key)
        value = self._values[key][0]
        if not isinstance(value, kind):
            raise TypeError(f"{key!r} holds a {type(value).__name__}, not a {kind.__name__}")
        return cast("T", value)

    def put(self, key: Hashable, value: object) -> None:
        """Keep a value; the longest unused ones make room for it."""
        size = num_bytes(value)
        if key in self._values:
            self.num_bytes -= self._values.pop(key)[1]
        if size > self._max_bytes:
            return
        self._values[key] = (value, size)
        self.num_bytes += size
        while self.num_bytes > self._max_bytes:
            _, (_, freed) = self._values.popitem(last=False)
            self.num_bytes -= freed

    def clear(self) -> None:
        """Forget everything."""
        self._values.clear()
        self.num_bytes = 0


def num_bytes(value: object) -> int:
    """Bytes of all tensors in a tensor, a tuple or a dataclass."""
    if isinstance(value, Tensor):
        return value.numel() * value.element_size()
    if isinstance(value, tuple):
        return sum(num_bytes(one) for one in cast("tuple[object, ...]", value))
    if is_dataclass(value):
        return sum(num_bytes(getattr(value, field.name)) for field in fields(value))
    return 0
