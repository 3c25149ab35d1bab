"""Convert weights between layouts: read, write, read back, compare."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from glamm.allocator import release_freed_memory
from glamm.checkpoints.load_foreign import (
    LoadedModel,
    merge_lora_weights,
    open_sources,
    read_weights,
)
from glamm.checkpoints.model_card import write_card
from glamm.checkpoints.new_folder import check_space, new_folder
from glamm.checkpoints.probe import probe
from glamm.checkpoints.source_check import run_checks, source_checks
from glamm.checkpoints.sources import Origin, Sources
from glamm.checkpoints.store import CONFIG_FILE, load_model, save_model
from glamm.checkpoints.tensor_file import WrittenFile
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
from glamm.progress import NO_PROGRESS, Progress
from glamm.structures.lineage import Lineage

_OTHER_FILES_BYTES = 1 << 20
"""More than configuration, lineage, model card and the headers of weight files take."""


@dataclass(frozen=True, slots=True)
class Conversion:
    """A report of a conversion.

    Args:
        files: All weight files that were written.
        num_parameters: Of the whole model.
        dtype: Name of the weights' type.
        initialized: Names of tensors that are random because no file contains them.
        probe: Largest absolute value of each compared output; comparing outputs of zeros would prove nothing.
        origins: Which part comes from which file.
        unused_keys: As in `LoadedModel`.
        lora: What is known about LoRA weights; None if there were none.
        checks: For each part that another library computes from the source, the result of the comparison.
    """

    files: tuple[WrittenFile, ...]
    num_parameters: int
    dtype: str
    initialized: tuple[str, ...]
    probe: Mapping[str, float]
    origins: tuple[Origin, ...]
    unused_keys: tuple[str, ...]
    lora: str | None = None
    checks: tuple[str, ...] = ()


def convert(
    sources: Sources,
    out: Path,
    *,
    to_release: bool = False,
    merges_lora: bool = True,
    dtype: torch.dtype | None = None,
    init_missing: bool = False,
    shard_bytes: int = DEFAULT_SHARD_BYTES,
    progress: Progress = NO_PROGRESS,
) -> Conversion:
    """Write a model in our layout or that of the release, and check that it is the same model.

    The result is read back: its logits and masks on a probe must be bit-identical. The files appear in the folder only
    then. The memory needed is that of the weights and a forward pass.

    Args:
        sources: The files to read.
        out: A folder that is empty or does not exist, or in which a conversion was killed.
        to_release: Write the layout of the release instead of ours.
        merges_lora: Add LoRA weights to the model; False writes them to the subfolder `adapter`.
        dtype: Of the result; None keeps that of the files.
        init_missing: As in `load_sources`.
        shard_bytes: As in `write_release`.
        progress: Advanced by the bytes that are read or written.

    Raises:
        CheckpointError: A file cannot be read, or the result differs when it is read back.
        HostError: The disk is full, or has too little room.
        BusyError: Another process converts into the same folder.
    """
    with new_folder(out, last=CONFIG_FILE) as folder:
        opened = open_sources(sources, dtype=dtype, init_missing=init_missing)
        lora = opened.lora.description() if opened.lora else None
        check_space(folder, opened.num_bytes + len(opened.tokenizer.model) + _OTHER_FILES_BYTES)
        progress.describe("reading")
        loaded = read_weights(opened, progress=progress)
        if merges_lora:
            loaded = merge_lora_weights(loaded)
        progress.describe("running every part")
        before = probe(loaded.model)
        progress.describe("writing")
        progress.begin(opened.num_bytes)
        files = _write(loaded, folder, shard_bytes if to_release else None, progress)
        conversion = _report(loaded, files, before)
        _write_card(conversion, loaded, folder)
        kept, checks = loaded.lora, source_checks(opened)
        del loaded, opened  # keep one model in memory at a time
        release_freed_memory()
        progress.describe("reading back")
        read_back = _read_back(folder, to_release=to_release, progress=progress)
        _compare(before, probe(read_back), out)
        if to_release and not checks:  # a folder of ours: transformers reads what was written
            checks = source_checks(open_sources(Sources(folder, clip=folder / CLIP_FOLDER)))
        if kept:
            kept.merge_into(read_back)
        outputs = run_checks(checks, read_back)
        del read_back
        release_freed_memory()
        if checks:
            progress.describe("comparing with transformers")
        compared = tuple(
            check.compare(output, None if kept else folder)
            for check, output in zip(checks, outputs, strict=True)
        )
        conversion = replace(conversion, checks=compared, lora=lora)
    moved = (replace(file, path=out / file.path.relative_to(folder)) for file in conversion.files)
    return replace(conversion, files=tuple(moved))


def _report(
    loaded: LoadedModel, files: Sequence[WrittenFile], probed: Mapping[str, Tensor]
) -> Conversion:
    return Conversion(
        files=tuple(files),
        num_parameters=sum(parameter.numel() for parameter in loaded.model.parameters()),
        dtype=str(next(loaded.model.parameters()).dtype).removeprefix("torch."),
        initialized=loaded.initialized,
        probe={name: float(value.abs().max()) for name, value in probed.items()},
        origins=loaded.origins,
        unused_keys=loaded.unused_keys,
    )


def _write_card(conversion: Conversion, loaded: LoadedModel, folder: Path) -> None:
    write_card(
        folder,
        loaded.model.config,
        num_parameters=conversion.num_parameters,
        dtype=conversion.dtype,
        files=conversion.files,
        sources=loaded.files,
        initialized=loaded.initialized,
    )


def _write(
    loaded: LoadedModel, folder: Path, shard_bytes: int | None, progress: Progress
) -> list[WrittenFile]:
    if shard_bytes is None:
        files = [_write_ours(loaded, folder, progress)]
    else:
        files = write_release(
            loaded.model, loaded.tokenizer, folder, shard_bytes=shard_bytes, progress=progress
        )
    if loaded.lora is not None:
        files.append(write_adapter(loaded.lora, folder / ADAPTER_FOLDER))
    return files


def _write_ours(loaded: LoadedModel, folder: Path, progress: Progress) -> WrittenFile:
    return save_model(
        loaded.model,
        folder,
        tokenizer_model=loaded.tokenizer.model,
        lineage=Lineage(converted_from={str(file): sha256(file) for file in loaded.files}),
        progress=progress,
    )


def _read_back(folder: Path, *, to_release: bool, progress: Progress) -> GLaMM:
    if to_release:
        opened = open_sources(Sources(folder, clip=folder / CLIP_FOLDER))
        return read_weights(opened, progress=progress).model
    return load_model(folder, progress=progress)[0]


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
