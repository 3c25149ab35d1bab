"""The device and the type of a model's weights, from their names on the command line."""

import torch

from glamm.config.dtype import DTypeName
from glamm.errors import HostError, RequestError

AUTO = "auto"
"""The first CUDA GPU if there is one, else the CPU."""


def choose_device(name: torch.device | str = AUTO) -> torch.device:
    """Find a device.

    Args:
        name: `auto`, or a device of torch such as `cpu`, `cuda` or `cuda:1`.

    Raises:
        RequestError: It is not the name of a device.
        HostError: This machine does not have the device.
    """
    if name == AUTO:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise RequestError(
            f"device '{name}': write {AUTO}, cpu, cuda, or cuda:1 for the second GPU"
        ) from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise HostError(
            f"device '{name}': torch finds {torch.cuda.device_count()} CUDA GPUs on this machine. "
            f"Choose another device, or {AUTO}."
        )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise HostError(f"device '{name}': this machine has no Metal GPU. Choose cpu or {AUTO}.")
    return device


def torch_dtype(name: DTypeName | torch.dtype | None) -> torch.dtype | None:
    """The type with a name; None is the type that the weights have in their file."""
    return getattr(torch, name) if isinstance(name, str) else name
