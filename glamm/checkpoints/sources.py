"""The files that a model is read from, and which part of the model comes from which of them."""

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from glamm.checkpoints.fill import Part
from glamm.checkpoints.name_maps.lora import adapter_names, plain_name, split_lora
from glamm.checkpoints.name_maps.official import is_derived, to_ours
from glamm.checkpoints.name_maps.parts import clip_to_ours, llama_to_ours
from glamm.checkpoints.name_maps.sam import SAM_SETTINGS, sam_names
from glamm.checkpoints.store import CONFIG_FILE, WEIGHTS_FILE
from glamm.checkpoints.weight_files import (
    LoadedWeights,
    WeightFiles,
    open_weights,
    read_config_json,
)
from glamm.errors import CheckpointError
from glamm.models.glamm.new_parts import NEW_PARTS
from glamm.models.language.pretrained import is_gguf, read_gguf_weights

REPLACEABLE = {
    "global_encoder": "--clip",
    "grounding_encoder": "--sam",
    "prompt_encoder": "--sam",
    "mask_decoder": "--sam",
}
"""Parts of published models, and the option that names their file."""

_OF_RELEASE = ("model.grounding_encoder.", "model.mm_projector.")
"""Of GLaMM, and of the LLaVA that it begins with."""

_TRAINED_BESIDE_LORA = "non_lora_trainables.bin"
_MAX_NAMES_IN_MESSAGE = 3


@dataclass(frozen=True, slots=True)
class Sources:
    """The files that a model is read from.

    Args:
        main: Our folder, a folder or file of the release, or a language model: a LLaMA, Qwen 2 or Qwen 3 in a folder of
            transformers or a GGUF file.
        clip: Folder of CLIP or SigLIP, for what `main` lacks.
        sam: File of SAM, for what `main` lacks.
        lora: A folder of peft; whole weights in it take the place of those of `main`.
        config: Folder with config.json and the tokenizer, for a `main` that is a single weight file.
        replaced: Names of parts that are taken from `clip` or `sam` although `main` has them.
    """

    main: Path
    clip: Path | None = None
    sam: Path | None = None
    lora: Path | None = None
    config: Path | None = None
    replaced: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """The folder with config.json and the tokenizer."""
        if self.config:
            return self.config
        return self.main if self.main.is_dir() else self.main.parent

    @property
    def lora_folder(self) -> Path | None:
        """The folder with the settings of LoRA weights that are not in `main`."""
        if self.lora is None or self.lora.is_dir():
            return self.lora
        return self.lora.parent


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the tensors of one part come from.

    Args:
        part: Name of the part; "LoRA" for LoRA weights.
        source: File or folder.
        num_tensors: How many.
    """

    part: str
    source: Path
    num_tensors: int


def open_parts(sources: Sources) -> tuple[Part, ...]:
    """Open the weight files; where several have a tensor, the last one counts.

    CLIP and SAM give only whole parts that the main weights lack, or that must be replaced: a trained part is never
    overwritten, and never mixed with another.

    Raises:
        CheckpointError: A file is missing or is of another kind, or a part that must be replaced is in no file.
    """
    main = _open_main(sources)
    held = _part_names(main) - set(sources.replaced)
    published = [
        Part(files, _without(translate, held)) for files, translate in _open_published(sources)
    ]
    _check_replaced(sources, published)
    opened = _open_lora(sources)
    _check_one_lora(main, opened, sources)
    trained = [Part(files, _without(_release_to_ours, sources.replaced)) for files in opened]
    rest = Part(main.files, _without(main.translate, sources.replaced))
    return (rest, *published, *trained)


def is_ours(main: Path) -> bool:
    """Whether a folder is a model folder that this project wrote."""
    return (main / CONFIG_FILE).is_file() and "weights_sha256" in read_config_json(main)


def is_trained(part: Part, sources: Sources) -> bool:
    """Whether weights are those of an adapter, or of a checkpoint without one."""
    source = part.files.source
    folder = sources.lora_folder
    return source == sources.main if folder is None else folder in (source, source.parent)


def origins(parts: Sequence[Part]) -> tuple[Origin, ...]:
    """For each part of the model, how many tensors come from which file, in the order of `parts`."""
    owners: dict[str, Path] = {}
    for part in parts:
        source = part.files.paths[0] if len(part.files.paths) == 1 else part.files.source
        owners |= dict.fromkeys(part.headers(), source)
    counts = Counter(
        ("LoRA" if split_lora(name) else name.partition(".")[0], source)
        for name, source in owners.items()
    )
    return tuple(Origin(part, source, count) for (part, source), count in counts.items())


def lacking(missing: Collection[str], main: Part, sources: Sources) -> str | None:
    """The message about a part that could come from elsewhere, and of which the main weights have some tensors but not all.

    Returns:
        None if there is no such part.
    """
    held = [name for name in main.headers() if not split_lora(name)]
    for part in sorted({name.partition(".")[0] for name in missing} & {*REPLACEABLE, *NEW_PARTS}):
        names = sorted(name for name in missing if name.startswith(f"{part}."))
        count = sum(name.startswith(f"{part}.") for name in held)
        if count:
            more = ", …" if len(names) > _MAX_NAMES_IN_MESSAGE else ""
            listed = ", ".join(names[:_MAX_NAMES_IN_MESSAGE]) + more
            option = REPLACEABLE.get(part)
            whole = (
                f", or take the whole part from another file with {option} FILE --replace {part}"
            )
            return (
                f"{sources.main}: lacks {len(names)} of the {count + len(names)} tensors of its {part} ({listed}): parts are "
                f"not mixed. Copy the weights again{whole if option else ''}."
            )
    return None


def _open_main(sources: Sources) -> Part:
    main = sources.main
    if is_ours(main):
        return Part(WeightFiles(main, (main / WEIGHTS_FILE,)), lambda name: name)
    if is_gguf(main):
        return Part(LoadedWeights(main, read_gguf_weights(main)), llama_to_ours)
    files = open_weights(main)
    headers = files.headers()
    names = [plain for name in headers if (plain := plain_name(name))]
    if names and all(split_lora(name) for name in names):
        raise CheckpointError(
            f"{main}: contains only LoRA weights. Name the model that they adapt, and this folder with --lora."
        )
    _check_adapters(headers, main)
    if any(name.startswith("model.visual_model.") for name in names):
        raise CheckpointError(
            f"{main}: is a checkpoint of LISA (model.visual_model.*): it has no region encoder. Name one of GLaMM."
        )
    is_release = any(name.startswith(_OF_RELEASE) for name in names)
    return Part(files, _release_to_ours if is_release else _wrapped(llama_to_ours))


def _open_published(
    sources: Sources,
) -> list[tuple[WeightFiles, Callable[[str], str | None]]]:
    opened: list[tuple[WeightFiles, Callable[[str], str | None]]] = []
    if sources.clip:
        opened.append((open_weights(sources.clip), clip_to_ours))
    if sources.sam:
        _check_sam_settings(sources.sam)
        files = open_weights(sources.sam)
        try:
            opened.append((files, sam_names(files.headers())))
        except CheckpointError as error:
            raise CheckpointError(f"{sources.sam}: {error}") from error
    return opened


def _open_lora(sources: Sources) -> list[WeightFiles]:
    if sources.lora is None or sources.lora_folder is None:
        return []
    others = sources.lora_folder / _TRAINED_BESIDE_LORA
    adapter = open_weights(sources.lora)
    _check_adapters(adapter.headers(), sources.lora)
    return [adapter, open_weights(others)] if others.is_file() else [adapter]


def _check_adapters(names: Iterable[str], source: Path) -> None:
    adapters = sorted(adapter_names(names))
    if len(adapters) > 1:
        raise CheckpointError(
            f"{source}: contains the adapters {', '.join(adapters)}: save the one that you want by itself"
        )


def _check_one_lora(main: Part, opened: Sequence[WeightFiles], sources: Sources) -> None:
    if opened and any(split_lora(name) for name in main.headers()):
        raise CheckpointError(
            f"{sources.main}: contains LoRA weights itself: convert it without --lora first, then add {sources.lora}"
        )


def _check_replaced(sources: Sources, published: Sequence[Part]) -> None:
    found = {name for part in published for name in _part_names(part)}
    for name in sources.replaced:
        if name not in REPLACEABLE:
            raise CheckpointError(
                f"--replace {name}: only {', '.join(REPLACEABLE)} can be taken from other files"
            )
        if name not in found:
            raise CheckpointError(
                f"--replace {name}: no file has this part: name one with {REPLACEABLE[name]}"
            )


def _check_sam_settings(source: Path) -> None:
    """Check config.json of transformers beside SAM's weights."""
    path = (source if source.is_dir() else source.parent) / CONFIG_FILE
    if not path.is_file():
        return
    config = read_config_json(path.parent)
    if config.get("model_type") != "sam":
        return
    for section, expected in SAM_SETTINGS.items():
        stated = config.get(section) or {}
        for key, value in expected.items():
            if stated.get(key, value) != value:
                raise CheckpointError(
                    f"{path}: {section}.{key} {json.dumps(stated[key])} is not supported, only {json.dumps(value)}"
                )


def _part_names(part: Part) -> set[str]:
    return {name.partition(".")[0] for name in part.headers() if not split_lora(name)}


def _without(
    translate: Callable[[str], str | None], parts: Collection[str]
) -> Callable[[str], str | None]:
    """A translation that skips the tensors of some parts."""

    def translated(name: str) -> str | None:
        ours = translate(name)
        return None if ours is None or ours.partition(".")[0] in parts else ours

    return translated if parts else translate


def _wrapped(translate: Callable[[str], str | None]) -> Callable[[str], str | None]:
    def translated(name: str) -> str | None:
        plain = plain_name(name)
        return None if plain is None else translate(plain)

    return translated


def _release_to_ours(name: str) -> str | None:
    plain = plain_name(name)
    return None if plain is None or is_derived(plain) else to_ours(plain)
