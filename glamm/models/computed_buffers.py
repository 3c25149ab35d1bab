"""Buffers that follow from the configuration and are not stored with the weights."""

from abc import abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn


class ComputedBuffers(nn.Module):
    """A module whose buffers are computed, always in float32, and not read.

    A cast of the model changes its weights only: rotary frequencies in bfloat16 would turn far positions by wrong angles.
    """

    @abstractmethod
    def compute_buffers(self, device: torch.device | str | None = None) -> None:
        """Compute all buffers that are not in the state dict, those of submodules of other libraries included.

        Args:
            device: Where; None is torch's current default.
        """

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "ComputedBuffers":  # noqa: FBT001, FBT002 - nn.Module's signature
        super()._apply(fn, recurse)
        self.compute_buffers(next(self.buffers(recurse=False)).device)
        return self
