"""LoRA weights that are not merged into the model, and the settings that they were trained with; peft merges them."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.tuners_utils import check_target_module_exists
from peft.utils.other import get_pattern_key
from torch import Tensor, nn

from glamm.checkpoints.name_maps.lora import split_lora
from glamm.checkpoints.name_maps.official import to_official
from glamm.checkpoints.weight_files import read_config_json
from glamm.errors import CheckpointError
from glamm.models.foreign_keys import shortened
from glamm.models.glamm import GLaMM
from glamm.models.language.lora import merge_lora

SETTINGS_FILE = "adapter_config.json"

_RELEASE_ALPHA = 16.0
"""Of the release, whose checkpoints do not record it."""

_USED = frozenset(
    {
        "alpha_pattern",
        "bias",
        "exclude_modules",
        "fan_in_fan_out",
        "init_lora_weights",
        "layers_pattern",
        "layers_to_transform",
        "lora_alpha",
        "lora_bias",
        "modules_to_save",
        "peft_type",
        "r",
        "rank_pattern",
        "target_modules",
        "use_dora",
        "use_rslora",
    }
)
_WITHOUT_EFFECT = frozenset(
    {
        "auto_mapping",
        "base_model_name_or_path",
        "corda_config",
        "eva_config",
        "inference_mode",
        "loftq_config",
        "lora_dropout",
        "lora_ga_config",
        "megatron_core",
        "peft_version",
        "qalora_group_size",
        "revision",
        "runtime_config",
        "task_type",
    }
)
"""Settings of training, of initialization, and descriptions of the file."""

_TIED = ("embed_tokens", "lm_head")
_MAX_STRENGTHS_IN_MESSAGE = 3
_CHANGES_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")
"""Initializations that subtract the first LoRA weights from the base weights."""


@dataclass(frozen=True, slots=True)
class LoraSettings:
    """How strong LoRA weights are, and of which kind.

    Args:
        source: The file that says so; None for the release, whose checkpoints do not.
        ranks: Width of the bottleneck by adapted module, under our names.
        alphas: Likewise; the product B @ A is multiplied by `alpha / rank`.
        use_rslora: It is multiplied by `alpha / sqrt(rank)` instead.
        use_dora: Magnitude and direction of the weights are trained apart.
        lora_bias: B has a bias.
    """

    source: Path | None
    ranks: Mapping[str, int]
    alphas: Mapping[str, float]
    use_rslora: bool = False
    use_dora: bool = False
    lora_bias: bool = False

    def to_peft(self, names: Mapping[str, str]) -> LoraConfig:
        """The settings in the terms of peft.

        Args:
            names: The name of each adapted module in the model that peft adapts, by our name.
        """
        rank = next(iter(self.ranks.values()))
        alpha = next(iter(self.alphas.values()))
        return LoraConfig(
            r=rank,
            lora_alpha=_whole(alpha),
            target_modules=[names[module] for module in self.ranks],
            rank_pattern={
                re.escape(names[module]): own for module, own in self.ranks.items() if own != rank
            },
            alpha_pattern={
                re.escape(names[module]): _whole(own)
                for module, own in self.alphas.items()
                if own != alpha
            },
            lora_dropout=0.0,
            bias="none",
            use_rslora=self.use_rslora,
            use_dora=self.use_dora,
            lora_bias=self.lora_bias,
        )

    def description(self) -> str:
        """How many modules they adapt, and how much."""
        strengths = sorted(
            {f"alpha {self.alphas[module]:g}, rank {rank}" for module, rank in self.ranks.items()}
        )
        more = len(strengths) - _MAX_STRENGTHS_IN_MESSAGE
        listed = "; ".join(strengths[:_MAX_STRENGTHS_IN_MESSAGE])
        kinds = (("rsLoRA", self.use_rslora), ("DoRA", self.use_dora))
        kind = "".join(f", {name}" for name, is_used in kinds if is_used)
        source = self.source or "the release; the checkpoint does not record it"
        return f"{len(self.ranks)} modules with {listed}{f' and {more} more' if more > 0 else ''}{kind} (of {source})"


@dataclass(frozen=True, slots=True)
class LoraWeights:
    """LoRA weights that are not merged into the model.

    Args:
        tensors: Under our names.
        settings: What they were trained with.
    """

    tensors: Mapping[str, Tensor]
    settings: LoraSettings

    def merge_into(self, model: GLaMM) -> None:
        """Add the change of each adapted weight to it, in place, as peft does.

        Raises:
            CheckpointError: The shapes do not fit the model, or peft cannot merge weights of this kind.
        """
        # peft would read the model's configuration, which is not one of transformers
        parts = nn.ModuleDict(dict(model.named_children()))
        config = self.settings.to_peft({module: module for module in self.settings.ranks})
        try:
            inject_adapter_in_model(config, parts, low_cpu_mem_usage=True)
            weights = {_with_adapter(name): value.float() for name, value in self.tensors.items()}
            shapes = {
                name: value.shape for name, value in parts.state_dict().items() if split_lora(name)
            }
            if shapes.keys() != weights.keys():
                name = min(shapes.keys() ^ weights.keys())
                fault = "is missing" if name in shapes else "does not belong to its settings"
                raise CheckpointError(f"the LoRA weight {name} {fault}")
            vocab_size = model.config.language_model.vocab_size
            extended = {
                name: _extended(name, value, shapes[name], vocab_size)
                for name, value in weights.items()
            }
            parts.load_state_dict(extended, strict=False, assign=True)
            merge_lora(parts)
        except (RuntimeError, ValueError) as error:
            raise CheckpointError(
                f"LoRA weights cannot be merged: {' '.join(str(error).split())}"
            ) from error
        model.requires_grad_(requires_grad=True)


def read_lora_settings(
    shapes: Mapping[str, tuple[int, ...]],
    trained: Collection[str],
    model: GLaMM,
    *,
    folder: Path | None,
    main: Path,
) -> LoraSettings | None:
    """The settings of LoRA weights.

    Args:
        shapes: Shapes of all tensors of the files under our names.
        trained: Names of the tensors in the file with the LoRA weights.
        model: The model that they adapt; its weights are not used.
        folder: The folder of peft; None if the weights are in the checkpoint itself.
        main: The folder of the checkpoint.

    Returns:
        None if there are no LoRA weights.

    Raises:
        CheckpointError: There are no settings for a folder of peft, or they are not supported, or they contradict the
            weights.
    """
    ranks = _ranks(shapes)
    path = (folder or main) / SETTINGS_FILE
    if path.is_file() and (folder is not None or ranks):
        stated = read_settings(path)
        _check_saved_modules(trained, stated, path)
        _check_targets(ranks, stated, model, path)
        if model.config.language_model.tie_embeddings:
            _check_tied(ranks, stated, path)
        settings = LoraSettings(
            source=path,
            ranks=ranks,
            alphas={module: _alpha(stated, module) for module in ranks},
            use_rslora=stated.use_rslora,
            use_dora=stated.use_dora,
            lora_bias=stated.lora_bias,
        )
        return settings if ranks else None
    if folder is not None:
        raise CheckpointError(
            f"{folder}: has no {SETTINGS_FILE}, so that the strength of its LoRA weights (lora_alpha / r) is unknown. Copy it "
            "from where the adapter was trained."
        )
    return LoraSettings(None, ranks, dict.fromkeys(ranks, _RELEASE_ALPHA)) if ranks else None


def read_settings(path: Path) -> LoraConfig:
    """Read adapter_config.json.

    Raises:
        CheckpointError: It is damaged or of another method, or a setting is not supported; the message names it.
    """
    values = read_config_json(path.parent, path.name)
    kind = str(values.get("peft_type", "LORA")).upper()
    if kind != "LORA":
        raise CheckpointError(f"{path}: peft_type {kind} is not supported, only LORA")
    initialization = values.get("init_lora_weights")
    if str(initialization).lower().startswith(_CHANGES_BASE):
        raise CheckpointError(
            f"{path}: init_lora_weights {initialization!r} is not supported: it changes the base weights too. Convert the "
            "adapter with peft's save_pretrained(path_initial_model_for_weight_conversion=...)."
        )
    for key, value in values.items():
        if key not in _USED | _WITHOUT_EFFECT and value not in (None, False, "", [], {}):
            raise CheckpointError(f"{path}: {key} {shortened(value)} is not supported")
    missing = [key for key in ("r", "lora_alpha") if not isinstance(values.get(key), int | float)]
    if missing:
        raise CheckpointError(f"{path}: has no number {missing[0]}")
    try:
        return LoraConfig(**{key: value for key, value in values.items() if key in _USED})
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: {' '.join(str(error).split())}") from error


def _check_targets(
    ranks: Mapping[str, int], settings: LoraConfig, model: GLaMM, path: Path
) -> None:
    """Compare the modules that the settings name, and their ranks, with those that have weights."""
    modules = dict(model.named_modules())
    for module, rank in ranks.items():
        if module not in modules:
            raise CheckpointError(f"{path.parent}: adapts {_theirs(module)}, which the model lacks")
        stated = _rank(settings, module)
        if stated != rank:
            raise CheckpointError(
                f"{path}: gives {_theirs(module)} the rank {stated}, but its weights have {rank}"
            )
    if settings.target_modules == "all-linear":
        return
    ignored = [name for name in ranks if not check_target_module_exists(settings, _theirs(name))]
    if ignored:
        raise CheckpointError(
            f"{path}: does not name {_theirs(ignored[0])} (and {len(ignored) - 1} others), for which there are weights: peft "
            "would ignore them"
        )
    without = [
        name
        for name, module in modules.items()
        if name.startswith("language_model.")
        and isinstance(module, nn.Linear | nn.Embedding)
        and name not in ranks
        and check_target_module_exists(settings, _theirs(name))
    ]
    if without:
        raise CheckpointError(
            f"{path}: names {_theirs(without[0])} (and {len(without) - 1} others), for which there are no weights"
        )


def _check_tied(ranks: Mapping[str, int], settings: LoraConfig, path: Path) -> None:
    """An adapter that changes one of two tied weights gives another model before merging than after it."""
    changed = [_theirs(name) for name in ranks if name.endswith(_TIED)]
    changed += [name for name in settings.modules_to_save or () if name.endswith(_TIED)]
    if changed:
        raise CheckpointError(
            f"{path}: adapts {changed[0]} of a model whose embed_tokens and lm_head are one weight (tie_word_embeddings): "
            "adapt both as a whole (modules_to_save), or save the base model with a head of its own"
        )


def _check_saved_modules(trained: Collection[str], settings: LoraConfig, path: Path) -> None:
    for module in settings.modules_to_save or ():
        pattern = re.compile(rf"(^|.*\.){module}\.")  # as peft compares
        if not any(pattern.match(name) for name in trained if not split_lora(name)):
            raise CheckpointError(
                f"{path}: modules_to_save names {module}, for which there are no weights"
            )


def _ranks(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
    sides: dict[str, dict[str, tuple[int, ...]]] = {}
    for name, shape in shapes.items():
        split = split_lora(name)
        if split:
            sides.setdefault(split[0], {})[split[1]] = shape
    return {module: _rank_of(module, own) for module, own in sides.items()}


def _rank_of(module: str, shapes: Mapping[str, tuple[int, ...]]) -> int:
    for a, b in (("lora_A.weight", "lora_B.weight"), ("lora_embedding_A", "lora_embedding_B")):
        if a in shapes and b in shapes:
            if any(len(shapes[name]) != 2 or 0 in shapes[name] for name in (a, b)):
                raise CheckpointError(
                    f"{module}: its LoRA weights are empty ({shapes[a]} and {shapes[b]}): a ZeRO-3 run saved them without "
                    "gathering its partitions. Save the adapter again, or take it from zero_to_fp32.py."
                )
            if shapes[a][0] != shapes[b][1]:
                raise CheckpointError(
                    f"{module}: LoRA weights of {shapes[b]} and {shapes[a]} do not fit each other"
                )
            return shapes[a][0]
    raise CheckpointError(f"{module}: has only one of lora_A and lora_B")


def _alpha(settings: LoraConfig, module: str) -> float:
    pattern: Mapping[str, float] = settings.alpha_pattern or {}
    return float(pattern.get(get_pattern_key(list(pattern), _theirs(module)), settings.lora_alpha))


def _rank(settings: LoraConfig, module: str) -> int:
    pattern: Mapping[str, int] = settings.rank_pattern or {}
    return pattern.get(get_pattern_key(list(pattern), _theirs(module)), settings.r)


def _theirs(module: str) -> str:
    """The name of a module in the model that was adapted: the release or a language model."""
    return to_official(f"{module}.weight").removesuffix(".weight")


def _with_adapter(name: str) -> str:
    """The name of a LoRA weight in a model that peft adapted."""
    module, tensor = split_lora(name) or (name, "")
    kind, _, last = tensor.partition(".")
    if kind == "lora_magnitude_vector":
        last = "weight"
    return ".".join(part for part in (module, kind, "default", last) if part)


def _extended(name: str, value: Tensor, shape: torch.Size, vocab_size: int) -> Tensor:
    """LoRA weights of a vocabulary, with zeros for the tokens that were added later."""
    module, _ = split_lora(name) or (name, "")
    grown = [size for size, new in zip(value.shape, shape, strict=False) if size != new]
    is_vocabulary = module.endswith(_TIED) and len(grown) == 1 and vocab_size in shape
    if not is_vocabulary or grown[0] > vocab_size:
        return value  # torch refuses wrong shapes
    extended = value.new_zeros(shape)
    extended[tuple(slice(size) for size in value.shape)] = value
    return extended


def _whole(alpha: float) -> int:
    """As peft declares it; it computes with other numbers as well."""
    return int(alpha) if alpha == int(alpha) else cast("int", alpha)
