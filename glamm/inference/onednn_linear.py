"""Linear layers on small batches through oneDNN, as in a decode step of several answers on a CPU."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

MAX_ROWS = 64
"""With more input vectors, torch's default matrix product is as fast."""

DEFAULT_MAX_PACKED_BYTES = 1 << 30


class OneDnnLinear(TorchFunctionMode):
    """While entered, float32 linear layers on a CPU run through oneDNN for 2 to 64 input vectors.

    Torch's default product takes twice as long for sixteen vectors as for one, although reading the weights, which
    happens once, dominates. oneDNN's product takes a third of that time with reordered weights. A weight is reordered when
    it is first used, and the copy is kept; the weights must not change afterwards. A single vector uses the default.

    Args:
        max_packed_bytes: Size of all copies; weights beyond it are used as they are.
    """

    def __init__(self, *, max_packed_bytes: int = DEFAULT_MAX_PACKED_BYTES) -> None:
        super().__init__()
        self._max_packed_bytes = max_packed_bytes
        self._packed: dict[int, tuple[Tensor, Tensor]] = {}
        self.packed_bytes = 0

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> object:
        """Called by torch in place of each of its functions."""
        del types
        if func is functional.linear and not kwargs and _is_supported(args[0], args[1]):
            return self._linear(*args)
        return func(*args, **(kwargs or {}))

    def _linear(self, inputs: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        weight = self._pack(weight)
        return torch.ops.mkldnn._linear_pointwise(inputs, weight, bias, "none", [], "")  # noqa: SLF001 - no public name

    def _pack(self, weight: Tensor) -> Tensor:
        if id(weight) not in self._packed:
            if self.packed_bytes + weight.nbytes > self._max_packed_bytes:
                return weight
            self.packed_bytes += weight.nbytes
            packed = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), MAX_ROWS // 4)  # noqa: SLF001 - likewise
            # the reference to the weight keeps its id from being used again
            self._packed[id(weight)] = packed, weight
        return self._packed[id(weight)][0]


def _is_supported(inputs: Tensor, weight: Tensor) -> bool:
    return (
        torch.backends.mkldnn.is_available()
        and type(weight) in (Tensor, torch.nn.Parameter)
        and inputs.device.type == "cpu"
        and inputs.dtype == weight.dtype == torch.float32
        and 2 <= inputs.numel() // inputs.shape[-1] <= MAX_ROWS
    )
