"""Linear layers of a few rows at a time, as a decode step of several answers has them."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

_MAX_ROWS = 64
"""With more, the usual matrix product is as fast."""
_MAX_PACKED_BYTES = 1 << 30


class OneDnnLinear(TorchFunctionMode):
    """While entered, products of 2 to 64 rows with a weight in single precision on a CPU go through oneDNN.

    The usual product takes twice as long for sixteen rows as for one, although the work is to read the weights, and
    that once. oneDNN's takes a third of the time with weights in its own order; that copy is made when a weight is first
    met and kept, up to 1 GiB in all. The weights must not change afterwards. One row is left to the usual product.
    """

    def __init__(self) -> None:
        super().__init__()
        self._packed: dict[int, tuple[Tensor, Tensor]] = {}
        self.packed_bytes = 0

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> object:
        """What torch calls instead of each of its functions."""
        del types
        if func is functional.linear and not kwargs and _has_few_rows(args[0], args[1]):
            return self._product(*args)
        return func(*args, **(kwargs or {}))

    def _product(self, inputs: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        weight = self._pack(weight)
        return torch.ops.mkldnn._linear_pointwise(inputs, weight, bias, "none", [], "")  # noqa: SLF001 - no public name

    def _pack(self, weight: Tensor) -> Tensor:
        if id(weight) not in self._packed:
            if self.packed_bytes + weight.nbytes > _MAX_PACKED_BYTES:
                return weight
            self.packed_bytes += weight.nbytes
            packed = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), _MAX_ROWS // 4)  # noqa: SLF001 - likewise
            self._packed[id(weight)] = packed, weight  # which keeps its id its own
        return self._packed[id(weight)][0]


def _has_few_rows(inputs: Tensor, weight: Tensor) -> bool:
    return (
        torch.backends.mkldnn.is_available()
        and type(weight) in (Tensor, torch.nn.Parameter)
        and inputs.device.type == "cpu"
        and inputs.dtype == weight.dtype == torch.float32
        and 2 <= inputs.numel() // inputs.shape[-1] <= _MAX_ROWS
    )
