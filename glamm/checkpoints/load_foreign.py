"""Read weights in any supported layout into a model, tensor by tensor.

The memory needed is that of the model and one tensor; only the weights of a GGUF file are read all at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from glamm.checkpoints.fill import Part, check_tensors, fill, listed, stored_dtype
from glamm.checkpoints.foreign_config import read_foreign_config
from glamm.checkpoints.lora import LoraSettings, LoraWeights, read_lora_settings
from glamm.checkpoints.name_maps.lora import split_lora
from glamm.checkpoints.sources import Origin, Sources, is_trained, lacking, open_parts, origins
from glamm.errors import CheckpointError
from glamm.models.glamm import GLaMM
from glamm.models.glamm.new_parts import NEW_PARTS
from glamm.models.glamm.without_weights import build_without_weights
from glamm.progress import NO_PROGRESS, Progress
from glamm.text.tokenizer import Tokenizer

_NEW_PARTS = tuple(f"{part}." for part in NEW_PARTS)


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model that was read from files.

    Args:
        model: In evaluation mode.
        tokenizer: With the model's vocabulary.
        lora: LoRA weights that are not merged yet; None if there are none.
        initialized: Names of tensors that are random because no file contains them.
        files: The weight files.
        origins: Which part comes from which file.
        unused_keys: `key value` of keys of config.json that neither this project nor transformers knows.
    """

    model: GLaMM
    tokenizer: Tokenizer
    lora: LoraWeights | None
    initialized: tuple[str, ...]
    files: tuple[Path, ...]
    origins: tuple[Origin, ...] = ()
    unused_keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OpenedSources:
    """Weight files whose headers were read: what the model will be is known, its weights are not read.

    Args:
        sources: The files that the user named.
        parts: The weight files.
        model: Without weights.
        tokenizer: With the model's vocabulary.
        dtype: Type of the model's weights.
        missing: Names of the model's tensors that no file contains.
        lora: Settings of LoRA weights; None if there are none.
        unused_keys: As in `LoadedModel`.
    """

    sources: Sources
    parts: tuple[Part, ...]
    model: GLaMM
    tokenizer: Tokenizer
    dtype: torch.dtype
    missing: tuple[str, ...]
    lora: LoraSettings | None = None
    unused_keys: tuple[str, ...] = ()

    @property
    def num_bytes(self) -> int:
        """Size of the model's weights, and of LoRA weights."""
        lora = sum(
            stored.num_bytes
            for part in self.parts
            for name, stored in part.headers().items()
            if split_lora(name)
        )
        tensors = self.model.state_dict().values()
        return lora + sum(tensor.numel() * self.dtype.itemsize for tensor in tensors)


def open_sources(
    sources: Sources, *, dtype: torch.dtype | None = None, init_missing: bool = False
) -> OpenedSources:
    """Read the headers of weight files, and check that they make a model.

    Args:
        sources: The files.
        dtype: Of the model; None keeps that of the files.
        init_missing: As in `load_sources`.

    Raises:
        CheckpointError: As in `load_sources`.
        HostError: As in `load_sources`.
    """
    parts = open_parts(sources)
    foreign = read_foreign_config(sources, parts, init_missing=init_missing)
    model = build_without_weights(foreign.model)
    missing = check_tensors(model, parts)
    fault = lacking(missing, parts[0], sources)
    if fault:
        raise CheckpointError(fault)
    refused = [name for name in missing if not (init_missing and name.startswith(_NEW_PARTS))]
    if refused:
        raise CheckpointError(f"{sources.main}: {listed(refused)} missing{_hint(refused)}")
    return OpenedSources(
        sources=sources,
        parts=parts,
        model=model,
        tokenizer=foreign.tokenizer,
        dtype=dtype or stored_dtype(parts[0]),
        missing=tuple(missing),
        lora=read_lora_settings(
            {name: shape for part in parts for name, shape in part.shapes().items()},
            {name for part in parts if is_trained(part, sources) for name in part.headers()},
            model,
            folder=sources.lora_folder,
            main=sources.folder,
        ),
        unused_keys=foreign.unused,
    )


def read_weights(opened: OpenedSources, *, progress: Progress = NO_PROGRESS) -> LoadedModel:
    """Read the weights of a model; the memory needed is that of the weights and one tensor.

    Args:
        opened: The result of `open_sources`; its model gets the weights.
        progress: Advanced by the bytes that are read.

    Raises:
        CheckpointError: A file is damaged.
    """
    lora = fill(opened.model, opened.parts, opened.missing, dtype=opened.dtype, progress=progress)
    return LoadedModel(
        model=opened.model.eval(),
        tokenizer=opened.tokenizer,
        lora=LoraWeights(lora, opened.lora) if opened.lora else None,
        initialized=opened.missing,
        files=tuple(path for part in opened.parts for path in part.files.paths),
        origins=origins(opened.parts),
        unused_keys=opened.unused_keys,
    )


def load_sources(
    sources: Sources, *, dtype: torch.dtype | None = None, init_missing: bool = False
) -> LoadedModel:
    """Build a model from weight files.

    Args:
        sources: The files.
        dtype: Of the model; None keeps that of the files.
        init_missing: Initialize the image projector, the region encoder and the text-to-mask projector randomly if no
            file contains them.

    Returns:
        The model, with LoRA weights not merged.

    Raises:
        CheckpointError: A file is missing or damaged, or might run code; or tensors are missing or unknown, and the
            message lists them.
        HostError: Reading a GGUF file needs the package gguf.
    """
    return read_weights(open_sources(sources, dtype=dtype, init_missing=init_missing))


def merge_lora_weights(loaded: LoadedModel) -> LoadedModel:
    """Add the LoRA weights to the weights that they adapt, in place.

    Raises:
        CheckpointError: The model has no such weight, or its shape does not fit.
    """
    if loaded.lora is None:
        return loaded
    loaded.lora.merge_into(loaded.model)
    return replace(loaded, lora=None)


def _hint(missing: Sequence[str]) -> str:
    if any(name.startswith("global_encoder.") for name in missing):
        return ": name the folder of CLIP with --clip"
    if any(name.startswith(("grounding_encoder.", "mask_decoder.")) for name in missing):
        return ": name the file of SAM with --sam"
    if all(name.startswith(_NEW_PARTS) for name in missing):
        return ". To train new ones, add --init-missing."
    return ""
