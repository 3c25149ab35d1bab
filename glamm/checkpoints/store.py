"""Our model folder: config.json, model.safetensors, tokenizer.model (or tokenizer.json) and lineage.json."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from glamm.config.base import Config
from glamm.config.model import ModelConfig
from glamm.errors import CheckpointError, DataError, HostError
from glamm.files import replacing, sha256, write_bytes, write_text
from glamm.models.glamm import GLaMM
from glamm.structures.lineage import LINEAGE_FILE, Lineage
from glamm.text.tokenizer import FAST_FILE, SENTENCEPIECE_FILE, tokenizer_file_name

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"

_MAX_NAMES_IN_MESSAGE = 5


class FolderConfig(Config):
    """The content of config.json.

    Args:
        format_version: Version of the folder's layout.
        model: Sizes and switches.
        weights_sha256: Checksum of model.safetensors.
        weights_bytes: Size of model.safetensors.
    """

    format_version: int = 1
    model: ModelConfig
    weights_sha256: str
    weights_bytes: int


def save_model(model: GLaMM, folder: Path, *, tokenizer_model: bytes, lineage: Lineage) -> None:
    """Write a model folder; each file is written whole or not at all, and config.json, with the checksum, last.

    Args:
        model: On any device.
        folder: Created if it does not exist; the files of an older model in it are replaced.
        tokenizer_model: `Tokenizer.model`: a serialized SentencePiece model, or a tokenizer.json.
        lineage: What the model was made from.

    Raises:
        HostError: The weights cannot be written; an older model in the folder is unchanged.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / WEIGHTS_FILE) as weights_part:
        write_weights(model.state_dict(), weights_part)
        config = FolderConfig(
            model=model.config,
            weights_sha256=sha256(weights_part),
            weights_bytes=weights_part.stat().st_size,
        )
        tokenizer_file = tokenizer_file_name(tokenizer_model)
        write_bytes(folder / tokenizer_file, tokenizer_model)
        for other in {SENTENCEPIECE_FILE, FAST_FILE} - {tokenizer_file}:
            (folder / other).unlink(missing_ok=True)
        lineage.save(folder / LINEAGE_FILE)
    write_text(folder / CONFIG_FILE, config.model_dump_json(indent=2))


def load_model(folder: Path, device: torch.device | str = "cpu") -> tuple[GLaMM, ModelConfig]:
    """Read a model folder.

    Args:
        folder: Written by `save_model`.
        device: Device of the model.

    Returns:
        The model in evaluation mode, and its configuration.

    Raises:
        CheckpointError: A file is missing or damaged, or the tensors do not fit the configuration.
    """
    config = read_config(folder)
    path = folder / WEIGHTS_FILE
    _check_file(path, config)
    with torch.device(device):
        model = GLaMM.from_config(config.model)
    load_weights(model, _StoredWeights(path, device), source=path)
    return model.eval(), config.model


def read_config(folder: Path) -> FolderConfig:
    """Read config.json.

    Raises:
        CheckpointError: It is missing, or is not a configuration of this project.
    """
    path = folder / CONFIG_FILE
    try:
        return FolderConfig.model_validate_json(path.read_bytes())
    except OSError as error:
        raise CheckpointError(
            f"{path}: cannot be read ({error.strerror}). Name a folder that `glamm train` or `glamm convert` wrote."
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(key) for key in first["loc"])
        raise CheckpointError(f"{path}: {field}: {first['msg']}") from error


def read_lineage(folder: Path) -> Lineage:
    """Read lineage.json.

    Raises:
        CheckpointError: It is missing or damaged.
    """
    try:
        return Lineage.load(folder / LINEAGE_FILE)
    except DataError as error:
        raise CheckpointError(str(error)) from error


def read_weights(path: Path, device: torch.device | str = "cpu") -> dict[str, Tensor]:
    """Read a safetensors file.

    Raises:
        CheckpointError: It is missing or damaged.
    """
    with _checkpoint_errors(path):
        return load_file(path, device=str(device))


class _StoredWeights(Mapping[str, Tensor]):
    """The tensors of a safetensors file, each read on access, so that a model is in memory only once."""

    def __init__(self, path: Path, device: torch.device | str) -> None:
        self._path, self._device = path, str(device)
        with _checkpoint_errors(path), safe_open(path, framework="pt") as file:
            self._names = dict.fromkeys(file.keys())

    def __getitem__(self, name: str) -> Tensor:
        # opened for each tensor: a mapped file keeps everything in memory that was read from it
        with (
            _checkpoint_errors(self._path),
            safe_open(self._path, framework="pt", device=self._device) as file,
        ):
            return file.get_tensor(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


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


def write_weights(weights: Mapping[str, Tensor], path: Path) -> None:
    """Write a safetensors file.

    Raises:
        HostError: It cannot be written, for example because the disk is full.
    """
    content = {name: value.detach().cpu().contiguous() for name, value in weights.items()}
    try:
        save_file(content, path, metadata={"format": "pt"})
    except (SafetensorError, OSError) as error:
        raise HostError(
            f"{path}: cannot be written ({error}). Free some space or name another folder."
        ) from error
    mask = os.umask(0)
    os.umask(mask)
    path.chmod(0o666 & ~mask)  # safetensors makes the file readable only for its owner


def load_weights(model: torch.nn.Module, weights: Mapping[str, Tensor], *, source: Path) -> None:
    """Copy tensors into a model, all of them or none.

    Args:
        model: Its state dict provides the expected names and shapes.
        weights: By name.
        source: The file of the weights, for the message.

    Raises:
        CheckpointError: Names or shapes differ; the message lists them.
    """
    expected = model.state_dict()
    missing = sorted(expected.keys() - weights.keys())
    unexpected = sorted(weights.keys() - expected.keys())
    reshaped = sorted(
        f"{name} {tuple(weights[name].shape)} instead of {tuple(expected[name].shape)}"
        for name in expected.keys() & weights.keys()
        if weights[name].shape != expected[name].shape
    )
    faults = [
        f"{len(names)} {kind}: {', '.join(names[:_MAX_NAMES_IN_MESSAGE])}{', …' if len(names) > _MAX_NAMES_IN_MESSAGE else ''}"
        for kind, names in (
            ("missing", missing),
            ("unexpected", unexpected),
            ("with a wrong shape", reshaped),
        )
        if names
    ]
    if faults:
        raise CheckpointError(
            f"{source}: tensors do not fit the configuration: {'; '.join(faults)}"
        )
    with torch.no_grad():
        for name, tensor in expected.items():
            tensor.copy_(weights[name])


def _check_file(path: Path, config: FolderConfig) -> None:
    try:
        size = path.stat().st_size
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from error
    if size != config.weights_bytes:
        raise CheckpointError(
            f"{path}: has {size} bytes, {CONFIG_FILE} records {config.weights_bytes}: "
            "it was truncated or replaced. Copy the whole folder again."
        )
    if sha256(path) != config.weights_sha256:
        raise CheckpointError(
            f"{path}: its checksum differs from the one in {CONFIG_FILE}: it was damaged or replaced. "
            "Copy the whole folder again."
        )
