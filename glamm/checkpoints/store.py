"""Our model folder: config.json, model.safetensors, tokenizer.model (or tokenizer.json) and lineage.json."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from pydantic import ValidationError
from torch import Tensor

from glamm.checkpoints.tensor_file import (
    WrittenFile,
    most_common_dtype,
    read_header,
    read_tensors,
    write_weights,
)
from glamm.config.base import Config
from glamm.config.model import ModelConfig
from glamm.errors import CheckpointError, DataError
from glamm.files import replacing, write_bytes, write_text
from glamm.models.glamm import GLaMM
from glamm.models.glamm.without_weights import build_without_weights
from glamm.progress import NO_PROGRESS, Progress
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


def save_model(
    model: GLaMM,
    folder: Path,
    *,
    tokenizer_model: bytes,
    lineage: Lineage,
    progress: Progress = NO_PROGRESS,
) -> WrittenFile:
    """Write a model folder; each file is written whole or not at all, and config.json, with the checksum, last.

    Args:
        model: On any device.
        folder: Created if it does not exist; the files of an older model in it are replaced.
        tokenizer_model: `Tokenizer.model`: a serialized SentencePiece model, or a tokenizer.json.
        lineage: What the model was made from.
        progress: Advanced by the bytes that are written.

    Returns:
        The weight file.

    Raises:
        HostError: The weights cannot be written; an older model in the folder is unchanged.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / WEIGHTS_FILE) as weights_part:
        written = write_weights(model.state_dict(), weights_part, progress=progress)
        config = FolderConfig(
            model=model.config,
            weights_sha256=written.sha256,
            weights_bytes=written.num_bytes,
        )
        tokenizer_file = tokenizer_file_name(tokenizer_model)
        write_bytes(folder / tokenizer_file, tokenizer_model)
        for other in {SENTENCEPIECE_FILE, FAST_FILE} - {tokenizer_file}:
            (folder / other).unlink(missing_ok=True)
        lineage.save(folder / LINEAGE_FILE)
    write_text(folder / CONFIG_FILE, config.model_dump_json(indent=2))
    return replace(written, path=folder / WEIGHTS_FILE)


def load_model(
    folder: Path,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
    progress: Progress = NO_PROGRESS,
) -> tuple[GLaMM, ModelConfig]:
    """Read a model folder; the memory needed is that of the weights and one tensor.

    Args:
        folder: Written by `save_model`.
        device: Device of the model.
        dtype: Type of its weights; None keeps that of the file. Buffers that are not in the file are in float32.
        progress: Advanced by the bytes that are read.

    Returns:
        The model in evaluation mode, and its configuration.

    Raises:
        CheckpointError: A file is missing or damaged, or the tensors do not fit the configuration.
    """
    config = read_config(folder)
    path = folder / WEIGHTS_FILE
    _check_size(path, config)
    model = build_without_weights(config.model, device=device)
    shapes = {name: stored.shape for name, stored in read_header(path).items()}
    _check_shapes(model, shapes, source=path)
    progress.begin(config.weights_bytes)
    weights: dict[str, Tensor] = {}
    for name, tensor in read_tensors(path, expected_sha256=config.weights_sha256):
        weights[name] = tensor.to(device, dtype if tensor.is_floating_point() else None)
        progress.advance(tensor.nbytes)
    model.load_state_dict(weights, assign=True)
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


def stored_dtype(folder: Path) -> torch.dtype:
    """The type of most weights in a model folder; only the header of the file is read.

    Raises:
        CheckpointError: The file is missing or damaged.
    """
    return most_common_dtype(read_header(folder / WEIGHTS_FILE)) or torch.float32


def read_lineage(folder: Path) -> Lineage:
    """Read lineage.json.

    Raises:
        CheckpointError: It is missing or damaged.
    """
    try:
        return Lineage.load(folder / LINEAGE_FILE)
    except DataError as error:
        raise CheckpointError(str(error)) from error


def load_weights(model: torch.nn.Module, weights: Mapping[str, Tensor], *, source: Path) -> None:
    """Copy tensors into a model, all of them or none.

    Args:
        model: Its state dict provides the expected names and shapes.
        weights: By name.
        source: The file of the weights, for the message.

    Raises:
        CheckpointError: Names or shapes differ; the message lists them.
    """
    _check_shapes(model, {name: value.shape for name, value in weights.items()}, source=source)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            tensor.copy_(weights[name])


def _check_shapes(
    model: torch.nn.Module, shapes: Mapping[str, tuple[int, ...]], *, source: Path
) -> None:
    expected = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    missing = sorted(expected.keys() - shapes.keys())
    unexpected = sorted(shapes.keys() - expected.keys())
    reshaped = sorted(
        f"{name} {tuple(shapes[name])} instead of {expected[name]}"
        for name in expected.keys() & shapes.keys()
        if tuple(shapes[name]) != expected[name]
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


def _check_size(path: Path, config: FolderConfig) -> None:
    try:
        size = path.stat().st_size
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from error
    if size != config.weights_bytes:
        raise CheckpointError(
            f"{path}: has {size} bytes, {CONFIG_FILE} records {config.weights_bytes}: "
            "it was truncated or replaced. Copy the whole folder again."
        )
