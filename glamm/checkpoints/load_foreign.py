"""Read a GLaMM in anybody's layout into a model, tensor by tensor: never more than one shard above the model itself."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from glamm.checkpoints.infer_config import (
    infer_global_encoder,
    infer_grounding_encoder,
    infer_language_model,
    infer_mask_decoder,
    infer_region_encoder,
    default_region_encoder,
    release_compat,
)
from glamm.checkpoints.name_maps.lora import LoraWeights, split_lora, strip_wrappers
from glamm.checkpoints.name_maps.official import is_derived, rope_theta_of, to_ours
from glamm.checkpoints.name_maps.parts import clip_to_ours, llama_to_ours, sam_to_ours
from glamm.checkpoints.store import CONFIG_FILE, WEIGHTS_FILE, read_config
from glamm.checkpoints.weight_files import WeightFiles, open_weights, read_config_json
from glamm.config.model import ModelConfig, SpecialTokens
from glamm.errors import CheckpointError
from glamm.models.glamm import GLaMM
from glamm.text.tokenizer import Tokenizer

OUR_CONFIG = "glamm_config"
"""Key of a release-style config.json under which our own configuration stands, where we wrote it."""

_INITIALISED = ("image_projector.", "region_encoder.", "text_to_mask_projector.")
"""Parts that no published model but a GLaMM has."""

_MOST_NAMES = 20


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the parts of a model come from.

    Args:
        main: Our folder, a folder or file of the release, or a LLaMA's folder.
        clip: CLIP's folder, for weights without it.
        sam: SAM's file, for weights without it.
        lora: A peft folder.
        config: Folder with config.json and the tokenizer, for a `main` that is a single file.
    """

    main: Path
    clip: Path | None = None
    sam: Path | None = None
    lora: Path | None = None
    config: Path | None = None


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model with its past.

    Args:
        model: In evaluation mode.
        tokenizer: The model's.
        lora: Low-rank weights that are not merged yet; None without.
        initialized: Tensors that no file had and that are random.
        files: What was read.
    """

    model: GLaMM
    tokenizer: Tokenizer
    lora: LoraWeights | None
    initialized: tuple[str, ...]
    files: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class _Part:
    """Some files, and how their names are translated; None is left out on purpose."""

    files: WeightFiles
    translate: Callable[[str], str | None]

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        for theirs, tensor in self.files.tensors():
            name = self._named(theirs)
            if name is not None:
                yield name, tensor

    def shapes(self) -> dict[str, tuple[int, ...]]:
        named = ((self._named(theirs), shape) for theirs, shape in self.files.shapes().items())
        return {name: shape for name, shape in named if name is not None}

    def _named(self, theirs: str) -> str | None:
        try:
            return self.translate(theirs)
        except CheckpointError as error:
            raise CheckpointError(f"{self.files.source}: {error}") from error


def load_sources(
    sources: Sources, *, dtype: torch.dtype | None = None, init_missing: bool = False
) -> LoadedModel:
    """Build the model that some files hold.

    Args:
        sources: The files.
        dtype: Of the model; None keeps the files'.
        init_missing: Let the projector, the region encoder and the text-to-mask projector be random where nothing
            holds them.

    Returns:
        The model; LoRA weights stand beside it, unmerged.

    Raises:
        CheckpointError: A file is missing, damaged or would run code; tensors are missing or left over; the message
            lists them.
    """
    parts = _parts(sources)
    shapes: dict[str, tuple[int, ...]] = {}
    for part in parts:
        shapes |= part.shapes()
    tokenizer = Tokenizer.from_folder(_folder(sources))
    config = _configuration(sources, shapes, tokenizer, init_missing=init_missing)
    model = _build(config, dtype or _dtype_of(parts[0]))
    lora, loaded = _fill(model, parts)
    missing = sorted(model.state_dict().keys() - loaded)
    if missing and not (init_missing and all(one.startswith(_INITIALISED) for one in missing)):
        raise CheckpointError(f"{sources.main}: {_listed(missing)} missing{_hint(missing)}")
    files = tuple(path for part in parts for path in part.files.paths)
    settings = _lora_settings(sources.lora, lora)
    return LoadedModel(model.eval(), tokenizer, settings, tuple(missing), files)


def _parts(sources: Sources) -> list[_Part]:
    if (sources.main / CONFIG_FILE).is_file() and "weights_sha256" in read_config_json(
        sources.main
    ):
        ours = WeightFiles(sources.main, (sources.main / WEIGHTS_FILE,))
        parts = [_Part(ours, lambda name: name)]
    else:
        main = open_weights(sources.main)
        is_release = any("grounding_encoder." in name for name in main.shapes())
        parts = [_Part(main, _release_to_ours if is_release else _wrapped(llama_to_ours))]
    if sources.clip:
        parts.append(_Part(open_weights(sources.clip), clip_to_ours))
    if sources.sam:
        parts.append(_Part(open_weights(sources.sam), sam_to_ours))
    if sources.lora:
        parts.append(_Part(open_weights(sources.lora), _release_to_ours))
        others = sources.lora / "non_lora_trainables.bin"
        if others.is_file():
            parts.append(_Part(open_weights(others), _release_to_ours))
    return parts


def _wrapped(translate: Callable[[str], str | None]) -> Callable[[str], str | None]:
    return lambda name: translate(strip_wrappers(name))


def _release_to_ours(name: str) -> str | None:
    plain = strip_wrappers(name)
    return None if is_derived(plain) else to_ours(plain)


def _folder(sources: Sources) -> Path:
    """With config.json and the tokenizer."""
    if sources.config:
        return sources.config
    return sources.main if sources.main.is_dir() else sources.main.parent


def _configuration(
    sources: Sources,
    shapes: Mapping[str, tuple[int, ...]],
    tokenizer: Tokenizer,
    *,
    init_missing: bool,
) -> ModelConfig:
    values = read_config_json(_folder(sources))
    if "weights_sha256" in values:
        return read_config(sources.main).model
    if OUR_CONFIG in values:
        return ModelConfig.model_validate(values[OUR_CONFIG])
    clip_folder = sources.clip
    if clip_folder is None:
        raise CheckpointError(
            f"{sources.main}: holds no global image encoder: name the folder of its CLIP with --clip"
        )
    language = infer_language_model(
        values, shapes, rope_theta=float(values.get("rope_theta") or _stored_theta(sources.main))
    )
    size = max(language.vocab_size, len(tokenizer))
    has_region = any(name.startswith("region_encoder.") for name in shapes)
    clip = infer_global_encoder(
        read_config_json(clip_folder), select_layer=values.get("mm_vision_select_layer", -2)
    )
    if not any(name.startswith("grounding_encoder.") for name in shapes):
        raise CheckpointError(
            f"{sources.main}: holds no grounding encoder: name SAM's file with --sam"
        )
    if not has_region and not init_missing:
        raise CheckpointError(
            f"{sources.main}: holds no region encoder. To train a new one, say --init-missing."
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
    frequencies = {
        name: tensor for name, tensor in open_weights(source).tensors() if name.endswith("inv_freq")
    }
    return rope_theta_of(frequencies, default=10_000.0)


def _dtype_of(part: _Part) -> torch.dtype:
    """Of the first floating tensor."""
    for _, tensor in part.tensors():
        if tensor.is_floating_point():
            return tensor.dtype
    raise CheckpointError(f"{part.files.source}: holds no floating tensor")


def _build(config: ModelConfig, dtype: torch.dtype) -> GLaMM:
    former = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        return GLaMM.from_config(config).to(dtype)
    finally:
        torch.set_default_dtype(former)


@torch.no_grad()
def _fill(model: GLaMM, parts: list[_Part]) -> tuple[dict[str, Tensor], set[str]]:
    """Copy every tensor to its place; low-rank ones are given back."""
    places = model.state_dict()
    loaded: set[str] = set()
    lora: dict[str, Tensor] = {}
    unexpected: list[str] = []
    for part in parts:
        for name, tensor in part.tensors():
            if split_lora(name):
                lora[name] = tensor.clone()
            elif name not in places:
                unexpected.append(name)
            else:
                _copy(places[name], tensor, name, part.files.source)
                loaded.add(name)
        if unexpected:
            raise CheckpointError(
                f"{part.files.source}: {_listed(unexpected)} left over: the model has no place for them"
            )
    return lora, loaded


def _copy(place: Tensor, tensor: Tensor, name: str, source: Path) -> None:
    is_vocabulary = name.endswith(("embed_tokens.weight", "lm_head.weight"))
    if is_vocabulary and tensor.dim() == 2 and len(tensor) < len(place):
        # tokens that were added: around the mean of the old ones, as usual
        place[: len(tensor)] = tensor
        place[len(tensor) :] = tensor.float().mean(0).to(place.dtype)
        return
    if place.shape != tensor.shape:
        raise CheckpointError(
            f"{source}: {name} has the shape {tuple(tensor.shape)}, the model needs {tuple(place.shape)}"
        )
    if place.is_floating_point() != tensor.is_floating_point():
        raise CheckpointError(f"{source}: {name} is {tensor.dtype}, the model needs {place.dtype}")
    place.copy_(tensor)


def _lora_settings(folder: Path | None, weights: Mapping[str, Tensor]) -> LoraWeights | None:
    if not weights:
        return None
    settings: Mapping[str, Any] = {}
    if folder and (folder / "adapter_config.json").is_file():
        settings = read_config_json(folder, "adapter_config.json")
    return LoraWeights(dict(weights), alpha=float(settings.get("lora_alpha", 16)))


def merged(loaded: LoadedModel) -> LoadedModel:
    """Add the low-rank weights to what they stand beside, in place.

    Raises:
        CheckpointError: One stands beside nothing, or has other sizes.
    """
    if loaded.lora is None:
        return loaded
    loaded.lora.merge_into(loaded.model)
    return replace(loaded, lora=None)


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:_MOST_NAMES])
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return f"{len(names)} tensors ({shown}{more}) are"


def _hint(missing: list[str]) -> str:
    if any(name.startswith("global_encoder.") for name in missing):
        return ": name the folder of CLIP with --clip"
    if any(name.startswith(("grounding_encoder.", "mask_decoder.")) for name in missing):
        return ": name SAM's file with --sam"
    if all(name.startswith(_INITIALISED) for name in missing):
        return ". To train new ones, say --init-missing."
    return ""
