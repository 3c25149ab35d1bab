"""Convert weights between layouts: read, write, read back, compare."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from glamm.allocator import release_freed_memory
from glamm.checkpoints.load_foreign import LoadedModel, Sources, load_sources, merge_lora_weights
from glamm.checkpoints.model_card import WrittenFile, write_card
from glamm.checkpoints.probe import probe
from glamm.checkpoints.store import WEIGHTS_FILE, load_model, save_model
from glamm.checkpoints.write_release import (
    ADAPTER_FOLDER,
    CLIP_FOLDER,
    DEFAULT_SHARD_BYTES,
    write_adapter,
    write_release,
)
from glamm.errors import CheckpointError
from glamm.files import sha256
from glamm.models.glamm import GLaMM
from glamm.structures.lineage import Lineage


@dataclass(frozen=True, slots=True)
class Conversion:
    """A report of a conversion.

    Args:
        files: All weight files that were written.
        num_parameters: Of the whole model.
        dtype: Name of the weights' type.
        initialized: Names of tensors that are random because no file contains them.
        probe: Largest absolute value of each compared output; comparing outputs of zeros would prove nothing.
    """

    files: tuple[WrittenFile, ...]
    num_parameters: int
    dtype: str
    initialized: tuple[str, ...]
    probe: Mapping[str, float]


def convert(
    sources: Sources,
    out: Path,
    *,
    to_release: bool = False,
    merges_lora: bool = True,
    dtype: torch.dtype | None = None,
    init_missing: bool = False,
    shard_bytes: int = DEFAULT_SHARD_BYTES,
) -> Conversion:
    """Write a model in our layout or that of the release, and check that it is the same model.

    The result is read back: its logits and masks on a probe must be bit-identical.

    Args:
        sources: The files to read.
        out: A folder that is empty or does not exist.
        to_release: Write the layout of the release instead of ours.
        merges_lora: Add LoRA weights to the model; False writes them to the subfolder `adapter`.
        dtype: Of the result; None keeps that of the files.
        init_missing: As in `load_sources`.
        shard_bytes: As in `write_release`.

    Raises:
        CheckpointError: A file cannot be read, or the result differs when it is read back.
        HostError: The disk is full.
    """
    if out.exists() and any(out.iterdir()):
        raise CheckpointError(f"{out}: is not empty. Name a new folder.")
    loaded = load_sources(sources, dtype=dtype, init_missing=init_missing)
    if merges_lora:
        loaded = merge_lora_weights(loaded)
    before = probe(loaded.model)
    paths = _write(loaded, out, to_release=to_release, shard_bytes=shard_bytes)
    converted_dtype = next(loaded.model.parameters()).dtype
    conversion = Conversion(
        files=tuple(WrittenFile(path, path.stat().st_size, sha256(path)) for path in paths),
        num_parameters=sum(parameter.numel() for parameter in loaded.model.parameters()),
        dtype=str(converted_dtype).removeprefix("torch."),
        initialized=loaded.initialized,
        probe={name: float(value.abs().max()) for name, value in before.items()},
    )
    write_card(
        out,
        loaded.model.config,
        num_parameters=conversion.num_parameters,
        dtype=conversion.dtype,
        files=conversion.files,
        sources=loaded.files,
        initialized=loaded.initialized,
    )
    del loaded  # keep one model in memory at a time
    release_freed_memory()
    _compare(before, probe(_read_back(out, to_release=to_release).to(converted_dtype)), out)
    return conversion


def _write(loaded: LoadedModel, out: Path, *, to_release: bool, shard_bytes: int) -> list[Path]:
    if to_release:
        files = write_release(loaded.model, loaded.tokenizer, out, shard_bytes=shard_bytes)
    else:
        lineage = Lineage(converted_from={str(file): sha256(file) for file in loaded.files})
        save_model(loaded.model, out, tokenizer_model=loaded.tokenizer.model, lineage=lineage)
        files = [out / WEIGHTS_FILE]
    if loaded.lora is not None:
        files.append(write_adapter(loaded.lora, out / ADAPTER_FOLDER))
    return files


def _read_back(out: Path, *, to_release: bool) -> GLaMM:
    if to_release:
        return load_sources(Sources(out, clip=out / CLIP_FOLDER)).model
    return load_model(out)[0]


def _compare(before: Mapping[str, Tensor], after: Mapping[str, Tensor], out: Path) -> None:
    for name, value in before.items():
        if not value.isfinite().all():
            raise CheckpointError(
                f"{out}: the {name} of the probe contain values that are not finite"
            )
        if not torch.equal(value, after[name]):
            worst = float((value - after[name]).abs().max())
            raise CheckpointError(
                f"{out}: after reading back, the {name} of the probe differ by {worst:.2g}: do not use this folder"
            )
