"""Read weights in any supported layout into a model, tensor by tensor.

The memory needed is that of the model and one tensor; only the weights of a GGUF file are read all at once.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from glamm.checkpoints.fill import Part, check_tensors, fill, listed, stored_dtype
from glamm.checkpoints.infer_config import (
    Shapes,
    default_region_encoder,
    infer_global_encoder,
    infer_grounding_encoder,
    infer_language_model,
    infer_mask_decoder,
    infer_region_encoder,
    release_compat,
)
from glamm.checkpoints.name_maps.lora import LoraWeights, split_lora, strip_wrappers
from glamm.checkpoints.name_maps.official import OUR_CONFIG, is_derived, rope_theta_of, to_ours
from glamm.checkpoints.name_maps.parts import clip_to_ours, llama_to_ours, sam_to_ours
from glamm.checkpoints.store import CONFIG_FILE, WEIGHTS_FILE, read_config
from glamm.checkpoints.weight_files import (
    LoadedWeights,
    WeightFiles,
    open_weights,
    read_config_json,
)
from glamm.config.model import LanguageModelConfig, ModelConfig, SpecialTokens
from glamm.errors import CheckpointError
from glamm.models.glamm import GLaMM
from glamm.models.glamm.new_parts import NEW_PARTS
from glamm.models.glamm.without_weights import build_without_weights
from glamm.models.language.pretrained import (
    is_gguf,
    read_gguf_weights,
    read_language_config,
    read_language_tokenizer,
)
from glamm.progress import NO_PROGRESS, Progress
from glamm.text.tokenizer import Tokenizer

_NEW_PARTS = tuple(f"{part}." for part in NEW_PARTS)


@dataclass(frozen=True, slots=True)
class Sources:
    """The files that a model is read from.

    Args:
        main: Our folder, a folder or file of the release, or a language model: a LLaMA, Qwen 2 or Qwen 3 in a folder of
            transformers or a GGUF file.
        clip: Folder of CLIP or SigLIP, for a `main` without its weights.
        sam: File of SAM, for a `main` without its weights.
        lora: A folder of peft.
        config: Folder with config.json and the tokenizer, for a `main` that is a single weight file.
    """

    main: Path
    clip: Path | None = None
    sam: Path | None = None
    lora: Path | None = None
    config: Path | None = None


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model that was read from files.

    Args:
        model: In evaluation mode.
        tokenizer: With the model's vocabulary.
        lora: LoRA weights that are not merged yet; None if there are none.
        initialized: Names of tensors that are random because no file contains them.
        files: The weight files.
    """

    model: GLaMM
    tokenizer: Tokenizer
    lora: LoraWeights | None
    initialized: tuple[str, ...]
    files: tuple[Path, ...]


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
    """

    sources: Sources
    parts: tuple[Part, ...]
    model: GLaMM
    tokenizer: Tokenizer
    dtype: torch.dtype
    missing: tuple[str, ...]

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
    parts = _parts(sources)
    shapes: dict[str, tuple[int, ...]] = {}
    for part in parts:
        shapes |= part.shapes()
    config, tokenizer = _read_config(sources, shapes, init_missing=init_missing)
    model = build_without_weights(config)
    missing = check_tensors(model, parts)
    if missing and not (init_missing and all(name.startswith(_NEW_PARTS) for name in missing)):
        raise CheckpointError(f"{sources.main}: {listed(missing)} missing{_hint(missing)}")
    return OpenedSources(
        sources, tuple(parts), model, tokenizer, dtype or stored_dtype(parts[0]), tuple(missing)
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
        lora=_lora_settings(opened.sources.lora, lora),
        initialized=opened.missing,
        files=tuple(path for part in opened.parts for path in part.files.paths),
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


def _parts(sources: Sources) -> list[Part]:
    if (sources.main / CONFIG_FILE).is_file() and "weights_sha256" in read_config_json(
        sources.main
    ):
        ours = WeightFiles(sources.main, (sources.main / WEIGHTS_FILE,))
        parts = [Part(ours, lambda name: name)]
    elif is_gguf(sources.main):
        weights = LoadedWeights(sources.main, read_gguf_weights(sources.main))
        parts = [Part(weights, llama_to_ours)]
    else:
        main = open_weights(sources.main)
        is_release = any("grounding_encoder." in name for name in main.shapes())
        parts = [Part(main, _release_to_ours if is_release else _wrapped(llama_to_ours))]
    if sources.clip:
        parts.append(Part(open_weights(sources.clip), clip_to_ours))
    if sources.sam:
        parts.append(Part(open_weights(sources.sam), sam_to_ours))
    if sources.lora:
        parts.append(Part(open_weights(sources.lora), _release_to_ours))
        others = sources.lora / "non_lora_trainables.bin"
        if others.is_file():
            parts.append(Part(open_weights(others), _release_to_ours))
    return parts


def _wrapped(translate: Callable[[str], str | None]) -> Callable[[str], str | None]:
    return lambda name: translate(strip_wrappers(name))


def _release_to_ours(name: str) -> str | None:
    plain = strip_wrappers(name)
    return None if is_derived(plain) else to_ours(plain)


def _folder(sources: Sources) -> Path:
    """The folder with config.json and the tokenizer."""
    if sources.config:
        return sources.config
    return sources.main if sources.main.is_dir() else sources.main.parent


def _read_config(
    sources: Sources, shapes: Shapes, *, init_missing: bool
) -> tuple[ModelConfig, Tokenizer]:
    """The configuration and the tokenizer: read if we wrote them, else inferred."""
    if not any(name.startswith(_NEW_PARTS) for name in shapes):  # a language model, CLIP and SAM
        location = sources.main if is_gguf(sources.main) else _folder(sources)
        language = read_language_config(location)
        has_head = "language_model.lm_head.weight" in shapes
        language = language.model_copy(update={"tie_embeddings": not has_head})
        tokenizer = read_language_tokenizer(location)
        config = _infer_config(
            sources, shapes, language, tokenizer, select_layer=-2, init_missing=init_missing
        )
        return config, tokenizer
    tokenizer = Tokenizer.from_folder(_folder(sources))
    values = read_config_json(_folder(sources))
    if "weights_sha256" in values:
        return read_config(sources.main).model, tokenizer
    if OUR_CONFIG in values:
        return ModelConfig.model_validate(values[OUR_CONFIG]), tokenizer
    theta = float(values.get("rope_theta") or _stored_theta(sources.main))
    config = _infer_config(
        sources,
        shapes,
        infer_language_model(values, shapes, rope_theta=theta),
        tokenizer,
        select_layer=values.get("mm_vision_select_layer", -2),
        init_missing=init_missing,
    )
    return config, tokenizer


def _infer_config(
    sources: Sources,
    shapes: Shapes,
    language: LanguageModelConfig,
    tokenizer: Tokenizer,
    *,
    select_layer: int,
    init_missing: bool,
) -> ModelConfig:
    """Infer the configuration of a model that has none of ours."""
    if sources.clip is None:
        raise CheckpointError(
            f"{sources.main}: contains no global image encoder: name the folder of CLIP with --clip"
        )
    size = max(language.vocab_size, len(tokenizer))
    has_region = any(name.startswith("region_encoder.") for name in shapes)
    clip = infer_global_encoder(read_config_json(sources.clip), select_layer=select_layer)
    if not any(name.startswith("grounding_encoder.") for name in shapes):
        raise CheckpointError(
            f"{sources.main}: contains no grounding encoder: name the file of SAM with --sam"
        )
    if not has_region and not init_missing:
        raise CheckpointError(
            f"{sources.main}: contains no region encoder. To train a new one, add --init-missing."
        )
    config = ModelConfig(
        global_encoder=clip,
        language_model=language.model_copy(update={"vocab_size": size}),
        grounding_encoder=infer_grounding_encoder(shapes),
        mask_decoder=infer_mask_decoder(shapes),
        special_tokens=SpecialTokens.from_tokenizer(tokenizer),
        region_encoder=infer_region_encoder(shapes) if has_region else default_region_encoder(clip),
    )
    return release_compat(config) if has_region else config


def _stored_theta(source: Path) -> float:
    return rope_theta_of(open_weights(source).first_tensor(".inv_freq"))


def _lora_settings(folder: Path | None, weights: Mapping[str, Tensor]) -> LoraWeights | None:
    if not weights:
        return None
    settings: Mapping[str, Any] = {}
    if folder and (folder / "adapter_config.json").is_file():
        settings = read_config_json(folder, "adapter_config.json")
    return LoraWeights(dict(weights), alpha=float(settings.get("lora_alpha", 16)))


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
