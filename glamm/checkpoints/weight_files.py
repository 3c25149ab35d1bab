"""Weight files read tensor by tensor: safetensors and PyTorch's pickles, single files or shards."""

import json
import pickle  # noqa: TID251 - only for its exception type; nothing is unpickled with it
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from glamm.checkpoints.tensor_file import (
    StoredTensor,
    header_of,
    read_header,
    read_tensor,
    read_tensors,
)
from glamm.errors import CheckpointError, DataError
from glamm.files import read_json_object, stand_in

SAFETENSORS_INDEX, PICKLE_INDEX = "model.safetensors.index.json", "pytorch_model.bin.index.json"
_SINGLE_FILES = (
    "model.safetensors",
    "pytorch_model.bin",
    "adapter_model.safetensors",
    "adapter_model.bin",
    "mp_rank_00_model_states.pt",
)
"""File names of Hugging Face and peft, and of DeepSpeed's ZeRO-1 and ZeRO-2."""

_SUFFIXES = frozenset({".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".gguf"})

_NESTED = ("module", "state_dict", "model")
"""Keys under which training programs store the tensors."""


_MAGIC_BYTES = 8
_FOREIGN_CLASS = re.compile(r"GLOBAL ([\w.]+)")
"""In torch's message about a pickle that it refuses."""


@dataclass(frozen=True, slots=True)
class WeightFiles:
    """A set of tensors in one or more files.

    Args:
        source: The file or folder that the user named.
        paths: The files, in the order in which they are read.
        expected: Names of tensors in the index; None without an index.
    """

    source: Path
    paths: tuple[Path, ...]
    expected: frozenset[str] | None = None

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Yield every tensor, in memory of its own.

        Raises:
            CheckpointError: As in `headers`.
        """
        self.headers()  # reading takes long: complain before
        for path in self.paths:
            yield from _read(path)

    def first_tensor(self, suffix: str) -> Tensor | None:
        """Read only the first tensor whose name ends with a suffix; None if there is none."""
        for path in self.paths:
            for name in _headers_of(path):
                if name.endswith(suffix):
                    return _read_one(path, name)
        return None

    def headers(self) -> dict[str, StoredTensor]:
        """Type and shape of every tensor; its content is not read.

        Raises:
            CheckpointError: A file is missing or damaged, might run code, or repeats a name, or a tensor of the index is
                missing.
        """
        headers: dict[str, StoredTensor] = {}
        for path in self.paths:
            for name, stored in _headers_of(path).items():
                if name in headers:
                    raise CheckpointError(f"{path}: {name} is in two files of {self.source}")
                headers[name] = stored
        missing = sorted((self.expected or frozenset()) - headers.keys())
        if missing:
            raise CheckpointError(
                f"{self.source}: the index lists {len(missing)} tensors that are in no file: {', '.join(missing[:5])}"
            )
        return headers

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of every tensor, from its header."""
        return {name: stored.shape for name, stored in self.headers().items()}


@dataclass(frozen=True, slots=True)
class LoadedWeights:
    """A set of tensors in memory, with the interface of `WeightFiles`.

    Args:
        source: The file that the user named.
        weights: By name.
    """

    source: Path
    weights: Mapping[str, Tensor]

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files that were read."""
        return (self.source,)

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Yield every tensor."""
        yield from self.weights.items()

    def headers(self) -> dict[str, StoredTensor]:
        """Type and shape of every tensor."""
        return {name: header_of(tensor) for name, tensor in self.weights.items()}


def open_weights(source: Path) -> WeightFiles:
    """Find the weight files in a folder, or take a single file.

    Args:
        source: A folder of Hugging Face or DeepSpeed, or a .safetensors, .bin, .pt or .pth file.

    Raises:
        CheckpointError: There are no weights, or an index lists files that do not exist.
    """
    if source.is_file():
        return WeightFiles(source, (source,))
    if not source.is_dir():
        raise CheckpointError(f"{source}: cannot be read (there is no such file or folder)")
    for name in (SAFETENSORS_INDEX, PICKLE_INDEX):
        if (source / name).is_file():
            return _from_index(source, source / name)
    for name in _SINGLE_FILES:
        if (source / name).is_file():
            return WeightFiles(source, (source / name,))
    if list(source.glob("*zero_pp_rank_*")) or list(source.glob("global_step*")):
        raise CheckpointError(
            f"{source}: contains DeepSpeed's partitions. Run the zero_to_fp32.py in the same folder, and name its "
            "pytorch_model.bin, or name global_step*/mp_rank_00_model_states.pt of a ZeRO-2 run."
        )
    others = sorted(path.name for path in source.iterdir() if path.suffix in _SUFFIXES)
    found = f". It contains {', '.join(others[:5])}: name the file itself" if others else ""
    raise CheckpointError(
        f"{source}: contains no weights ({', '.join(_SINGLE_FILES[:2])} or their index){found}"
    )


def read_config_json(folder: Path, name: str = "config.json") -> dict[str, Any]:
    """Read config.json of a Hugging Face folder, or another JSON object in it.

    Raises:
        CheckpointError: It is missing, or is not a JSON object.
    """
    try:
        return read_json_object(folder / name)
    except DataError as error:
        raise CheckpointError(str(error)) from error


def _from_index(folder: Path, path: Path) -> WeightFiles:
    try:
        weight_map = json.loads(path.read_bytes())["weight_map"]
        names = sorted(set(weight_map.values()))
        is_plain = all(isinstance(name, str) and Path(name).name == name for name in names)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        fault = stand_in(path) or f"is not an index of weight files ({error!r})"
        raise CheckpointError(f"{path}: {fault}") from error
    if not is_plain:
        raise CheckpointError(f"{path}: lists a file outside its folder")
    paths = tuple(folder / name for name in names)
    missing = [file.name for file in paths if not file.is_file()]
    if missing:
        raise CheckpointError(
            f"{path}: {len(missing)} of {len(paths)} files are missing: {', '.join(missing[:5])}"
        )
    return WeightFiles(folder, paths, frozenset(weight_map))


def _read(path: Path) -> Iterator[tuple[str, Tensor]]:
    if path.suffix == ".safetensors":
        yield from read_tensors(path)
        return
    for name, tensor in _tensors_of(_unpickle(path), path):
        yield name, tensor.clone(memory_format=torch.contiguous_format)


def _headers_of(path: Path) -> Mapping[str, StoredTensor]:
    status = path.stat()
    return _read_headers(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=64)
def _read_headers(path: Path, size: int, _changed: int) -> Mapping[str, StoredTensor]:
    """The headers of a file as it is now; a pickle of older versions of torch is read whole each time."""
    if size == 0:
        raise CheckpointError(f"{path}: is empty (0 bytes). Copy it again from where it came from.")
    fault = stand_in(path)
    if fault:
        raise CheckpointError(f"{path}: {fault}")
    if path.suffix == ".safetensors":
        return read_header(path)
    return {name: header_of(tensor) for name, tensor in _tensors_of(_unpickle(path), path)}


def _read_one(path: Path, wanted: str) -> Tensor:
    if path.suffix == ".safetensors":
        return read_tensor(path, wanted)
    return dict(_tensors_of(_unpickle(path), path))[wanted].clone()


def _unpickle(path: Path) -> object:
    """Read a pickle of tensors and plain values; one that does anything else is refused without running it."""
    try:
        is_zip = zipfile.is_zipfile(path)  # only zip files can be memory-mapped
        with warnings.catch_warnings():
            # torch warns about the age of a file; it is read or refused in any case
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)  # noqa: TID251
    except pickle.UnpicklingError as error:
        raise _refused(path, error) from error
    except (
        RuntimeError,
        OSError,
        ValueError,
        EOFError,
        KeyError,
        TypeError,
        IndexError,
        AttributeError,
        zipfile.BadZipFile,
    ) as error:
        raise _damaged(path, error) from error


def _tensors_of(value: object, path: Path) -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Mapping):
        inner = next((value[key] for key in _NESTED if isinstance(value.get(key), Mapping)), value)
        items = [(str(name), item) for name, item in cast("Mapping[Any, Any]", inner).items()]
        others = [name for name, item in items if not isinstance(item, Tensor)]
        if items and not others:
            empty = [name for name, tensor in items if tensor.numel() == 0]
            if empty:
                raise CheckpointError(
                    f"{path}: {len(empty)} tensors are empty ({', '.join(empty[:3])}): a ZeRO-3 run stores them in "
                    "partitions. Run the zero_to_fp32.py in the same folder, and name its pytorch_model.bin."
                )
            yield from items
            return
        if items:
            raise CheckpointError(f"{path}: {others[0]} is not a tensor")
    raise CheckpointError(f"{path}: contains no named tensors")


def _refused(path: Path, error: Exception) -> CheckpointError:
    with path.open("rb") as file:
        start = file.read(_MAGIC_BYTES)
    if not start.startswith((b"PK", b"\x80")):  # of a zip file, of a pickle
        return CheckpointError(f"{path}: is not a file of weights (it begins with {start!r})")
    found = _FOREIGN_CLASS.search(str(error))
    classes = f" ({found[1]})" if found else ""
    return CheckpointError(
        f"{path}: is refused, because it contains more than tensors{classes} and might run code. Save only the state dict "
        "where it was made, best as safetensors."
    )


def _damaged(path: Path, error: Exception) -> CheckpointError:
    detail = str(error).split("\n", maxsplit=1)[0].split(". ", maxsplit=1)[0][:200]
    return CheckpointError(f"{path}: is damaged ({detail}). Copy it again from where it came from.")
