"""A safetensors file, read and written tensor by tensor: no second copy of the weights is in memory.

A file is the length of its header (8 bytes), the header (JSON), and the tensors one after another.
"""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from glamm.errors import CheckpointError, HostError
from glamm.progress import NO_PROGRESS, Progress

_DTYPES = {
    "U64": torch.uint64,
    "I64": torch.int64,
    "F64": torch.float64,
    "C64": torch.complex64,
    "F32": torch.float32,
    "U32": torch.uint32,
    "I32": torch.int32,
    "BF16": torch.bfloat16,
    "F16": torch.float16,
    "U16": torch.uint16,
    "I16": torch.int16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
"""Types by their names in the header, in the order in which the tensors of a file are stored."""

_LENGTH_BYTES = 8


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """What the header says of a tensor.

    Args:
        dtype: Type of its elements.
        shape: Its axes; empty for a scalar.
        num_bytes: Its size in the file.
        start: Its first byte in the file; 0 for a tensor that is in no such file.
    """

    dtype: torch.dtype
    shape: tuple[int, ...]
    num_bytes: int
    start: int = 0


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """A weight file that was written.

    Args:
        path: Where.
        num_bytes: Its size.
        sha256: Its checksum, in hexadecimal digits.
    """

    path: Path
    num_bytes: int
    sha256: str


def header_of(tensor: Tensor) -> StoredTensor:
    """What a header would say of a tensor in memory."""
    return StoredTensor(tensor.dtype, tuple(tensor.shape), tensor.nbytes)


def most_common_dtype(header: Mapping[str, StoredTensor]) -> torch.dtype | None:
    """The floating-point type that most weights have; a few may have another, such as norms in float32.

    Args:
        header: What a file, or several, contain.

    Returns:
        None if nothing is in floating point.
    """
    sizes: Counter[torch.dtype] = Counter()
    for stored in header.values():
        if stored.dtype.is_floating_point:
            sizes[stored.dtype] += math.prod(stored.shape)
    return sizes.most_common(1)[0][0] if sizes else None


def read_header(path: Path) -> dict[str, StoredTensor]:
    """Read what a file contains, in the order of the tensors.

    Raises:
        CheckpointError: The file is missing or damaged, or has a type that is not supported.
    """
    with _checkpoint_errors(path):
        with safe_open(path, framework="np"):
            pass  # checks that the tensors lie one after another and fill the file
        with path.open("rb") as file:
            length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
            header: dict[str, dict[str, Any]] = json.loads(file.read(length))
    header.pop("__metadata__", None)
    stored: dict[str, StoredTensor] = {}
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        if entry["dtype"] not in _DTYPES:
            raise CheckpointError(
                f"{path}: {name} has the type {entry['dtype']}, which is not supported"
            )
        start, end = entry["data_offsets"]
        stored[name] = StoredTensor(
            dtype=_DTYPES[entry["dtype"]],
            shape=tuple(entry["shape"]),
            num_bytes=end - start,
            start=_LENGTH_BYTES + length + start,
        )
    return stored


def read_tensors(path: Path, *, expected_sha256: str | None = None) -> Iterator[tuple[str, Tensor]]:
    """Yield every tensor on the CPU, in the order of the file, which is read once.

    Args:
        path: A safetensors file.
        expected_sha256: The checksum in config.json; None does not check it.

    Raises:
        CheckpointError: The file is missing or damaged; the checksum is known after the last tensor.
    """
    header = read_header(path)
    digest = None if expected_sha256 is None else hashlib.sha256()
    with _checkpoint_errors(path), path.open("rb") as file:
        # read and not mapped: a mapped file would have to stay as it is while the model lives
        start = file.read(_LENGTH_BYTES)
        start += file.read(int.from_bytes(start, "little"))
        if digest:
            digest.update(start)
        for name, stored in header.items():
            tensor = _read_next(file, stored)
            if digest:
                digest.update(_bytes_of(tensor))
            yield name, tensor
    if digest and digest.hexdigest() != expected_sha256:
        raise CheckpointError(
            f"{path}: its checksum differs from the one in config.json: it was damaged or replaced. "
            "Copy the whole folder again."
        )


def read_tensor(path: Path, name: str) -> Tensor:
    """Read one tensor.

    Raises:
        CheckpointError: The file is missing or damaged.
        KeyError: It has no such tensor.
    """
    stored = read_header(path)[name]
    with _checkpoint_errors(path), path.open("rb") as file:
        file.seek(stored.start)
        return _read_next(file, stored)


def _read_next(file: BufferedReader, stored: StoredTensor) -> Tensor:
    content = torch.empty(stored.num_bytes, dtype=torch.uint8)
    if file.readinto(content.numpy().data) != stored.num_bytes:
        raise SafetensorError("it became shorter while it was read")
    return content.view(stored.dtype).reshape(stored.shape)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file.

    Raises:
        CheckpointError: It is missing or damaged.
    """
    return dict(read_tensors(path))


def write_weights(
    weights: Mapping[str, Tensor], path: Path, *, progress: Progress = NO_PROGRESS
) -> WrittenFile:
    """Write a safetensors file, the same bytes as the library of that name.

    Args:
        weights: On any device; copied to the CPU one after another.
        path: The file.
        progress: Advanced by the bytes that are written.

    Raises:
        HostError: It cannot be written, for example because the disk is full.
    """
    order = list(_DTYPES.values())
    names = sorted(weights, key=lambda name: (order.index(weights[name].dtype), name))
    digest = hashlib.sha256()
    try:
        with path.open("wb") as file:
            header = _header({name: weights[name] for name in names})
            for content in chain([header], (_bytes_of(weights[name]) for name in names)):
                digest.update(content)
                file.write(content)
                progress.advance(len(content))
    except OSError as error:
        raise HostError(
            f"{path}: cannot be written ({error.strerror or error}). Free some space or name another folder."
        ) from error
    return WrittenFile(path, path.stat().st_size, digest.hexdigest())


def _header(weights: Mapping[str, Tensor]) -> bytes:
    names = {dtype: name for name, dtype in _DTYPES.items()}
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, tensor in weights.items():
        start, end = end, end + tensor.nbytes
        header[name] = {
            "dtype": names[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [start, end],
        }
    content = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    content += b" " * (-len(content) % 8)  # the tensors are aligned
    return len(content).to_bytes(_LENGTH_BYTES, "little") + content


def _bytes_of(tensor: Tensor) -> memoryview:
    """The content of a tensor, without a copy if it is on the CPU and contiguous."""
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data


@contextmanager
def _checkpoint_errors(path: Path) -> Iterator[None]:
    """Turn errors of reading into a CheckpointError that names the file."""
    try:
        yield
    except SafetensorError as error:
        raise CheckpointError(
            f"{path}: is damaged ({error}). Copy it again from where it came from."
        ) from error
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: cannot be read (there is no such file)") from error
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror or error})") from error
