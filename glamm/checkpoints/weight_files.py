"""Weight files of any kind, read tensor by tensor: safetensors and PyTorch's pickles, whole or in shards."""

import json
import pickle  # noqa: TID251 - for the name of its error; nothing is unpickled here
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from glamm.errors import CheckpointError

SAFETENSORS_INDEX, PICKLE_INDEX = "model.safetensors.index.json", "pytorch_model.bin.index.json"
_WHOLE = (
    "model.safetensors",
    "pytorch_model.bin",
    "adapter_model.safetensors",
    "adapter_model.bin",
    "mp_rank_00_model_states.pt",  # DeepSpeed's, of ZeRO-1 and 2
)
_NESTED = ("module", "state_dict", "model")
"""Keys under which trainers put the tensors."""


@dataclass(frozen=True, slots=True)
class WeightFiles:
    """One set of tensors in one file or many.

    Args:
        source: As the user named it.
        paths: The files, in the order in which they are read.
        expected: Names that an index promises; None without an index.
    """

    source: Path
    paths: tuple[Path, ...]
    expected: frozenset[str] | None = None

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Yield every tensor; at most one file is in memory at a time.

        Raises:
            CheckpointError: A file is missing, damaged, would run code, holds a name twice, or the index promises more.
        """
        seen: set[str] = set()
        for path in self.paths:
            for name, tensor in _read(path):
                if name in seen:
                    raise CheckpointError(f"{path}: {name} is in two files of {self.source}")
                seen.add(name)
                yield name, tensor
        lacking = sorted((self.expected or frozenset()) - seen)
        if lacking:
            raise CheckpointError(
                f"{self.source}: the index names {len(lacking)} tensors that are in no file: {', '.join(lacking[:5])}"
            )

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every tensor, with nothing kept; of safetensors only the headers are read.

        Raises:
            CheckpointError: As `tensors`, for what a header tells.
        """
        return {name: shape for path in self.paths for name, shape in _read_shapes(path)}

    @property
    def num_bytes(self) -> int:
        """Of all files."""
        return sum(path.stat().st_size for path in self.paths)


def open_weights(source: Path) -> WeightFiles:
    """Find the weights in a folder, or take a file.

    Args:
        source: A folder of Hugging Face or DeepSpeed, or a .safetensors, .bin, .pt or .pth file.

    Raises:
        CheckpointError: There is nothing, or an index names files that are not there.
    """
    if source.is_file():
        return WeightFiles(source, (source,))
    if not source.is_dir():
        raise CheckpointError(f"{source}: cannot be read (there is no such file or folder)")
    for name in (SAFETENSORS_INDEX, PICKLE_INDEX):
        if (source / name).is_file():
            return _from_index(source, source / name)
    for name in _WHOLE:
        if (source / name).is_file():
            return WeightFiles(source, (source / name,))
    if list(source.glob("*zero_pp_rank_*")) or list(source.glob("global_step*")):
        raise CheckpointError(
            f"{source}: holds DeepSpeed's partitions. Run the zero_to_fp32.py that lies beside them, and name its "
            "pytorch_model.bin, or name global_step*/mp_rank_00_model_states.pt of a ZeRO-2 run."
        )
    raise CheckpointError(f"{source}: holds no weights ({', '.join(_WHOLE[:2])} or their index)")


def read_config_json(folder: Path, name: str = "config.json") -> dict[str, Any]:
    """Read config.json of a Hugging Face folder, or another such file.

    Raises:
        CheckpointError: It is missing, or no JSON object.
    """
    path = folder / name
    try:
        value: object = json.loads(path.read_bytes())
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: is no JSON ({error})") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path}: must hold an object")
    return cast("dict[str, Any]", value)


def _from_index(folder: Path, path: Path) -> WeightFiles:
    try:
        placed = json.loads(path.read_bytes())["weight_map"]
        names = sorted(set(placed.values()))
        is_plain = all(isinstance(name, str) and Path(name).name == name for name in names)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{path}: is no index of weights ({error!r})") from error
    if not is_plain:
        raise CheckpointError(f"{path}: names a file outside its folder")
    paths = tuple(folder / name for name in names)
    lacking = [one.name for one in paths if not one.is_file()]
    if lacking:
        raise CheckpointError(
            f"{path}: {len(lacking)} of {len(paths)} files are missing: {', '.join(lacking[:5])}"
        )
    return WeightFiles(folder, paths, frozenset(placed))


def _read(path: Path) -> Iterator[tuple[str, Tensor]]:
    if path.stat().st_size == 0:
        raise CheckpointError(f"{path}: is empty (0 bytes). Copy it again from where it came from.")
    if path.suffix == ".safetensors":
        yield from _read_safetensors(path)
        return
    yield from _tensors_of(_unpickle(path), path)


def _read_shapes(path: Path) -> Iterator[tuple[str, tuple[int, ...]]]:
    if path.suffix != ".safetensors" or path.stat().st_size == 0:
        yield from ((name, tuple(tensor.shape)) for name, tensor in _read(path))
        return
    try:
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 - safe_open is no dict
                yield name, tuple(file.get_slice(name).get_shape())
    except SafetensorError as error:
        raise _damaged(path, error) from error


def _read_safetensors(path: Path) -> Iterator[tuple[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())
        for name in names:
            # opened anew: a mapped file keeps in memory whatever was read of it
            with safe_open(path, framework="pt") as file:
                yield name, file.get_tensor(name)
    except SafetensorError as error:
        raise _damaged(path, error) from error


def _unpickle(path: Path) -> object:
    """Read a pickle of tensors and plain values; one that would do anything else is refused before it does."""
    try:
        is_zip = zipfile.is_zipfile(path)  # only these can be mapped instead of read
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # about how old or new the file is: it is read or refused
            return torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)  # noqa: TID251
    except pickle.UnpicklingError as error:
        detail = str(error).split("\n", maxsplit=1)[0][:200]
        raise CheckpointError(
            f"{path}: is not read, because it holds more than tensors and might run code ({detail}). Ask for safetensors, "
            "or convert it where it came from."
        ) from error
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
        items = [(str(name), one) for name, one in cast("Mapping[Any, Any]", inner).items()]
        others = [name for name, one in items if not isinstance(one, Tensor)]
        if items and not others:
            empty = [name for name, one in items if one.numel() == 0]
            if empty:
                raise CheckpointError(
                    f"{path}: {len(empty)} tensors are empty ({', '.join(empty[:3])}): a ZeRO-3 run keeps them in "
                    "partitions. Run the zero_to_fp32.py that lies beside them, and name its pytorch_model.bin."
                )
            yield from items
            return
        if items:
            raise CheckpointError(f"{path}: {others[0]} is no tensor")
    raise CheckpointError(f"{path}: holds no tensors by name")


def _damaged(path: Path, error: Exception) -> CheckpointError:
    detail = str(error).split("\n", maxsplit=1)[0][:200]
    return CheckpointError(f"{path}: is damaged ({detail}). Copy it again from where it came from.")
