"""The keys of transformers' config.json: which ones are used, which ones have no effect, and which ones must be refused.

A key of a configuration falls into one of four groups.

- Used: translated into ours.
- Without effect on the outputs: those of training and generation, and descriptions of the file.
- Refused: the other fields of transformers' class unless they have their default, and keys whose names say that they change
  the outputs in other families of models (multipliers, scalings, windows, experts, quantization).
- Unused: transformers' class has no such field, so that transformers does not use it either. They are reported by name.
"""

import dataclasses
import logging
import re
import warnings
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from huggingface_hub.errors import StrictDataclassError
from transformers import GenerationConfig, PreTrainedConfig
from transformers.activations import ACT2FN
from transformers.utils.logging import (
    disable_progress_bar,
    enable_progress_bar,
    is_progress_bar_enabled,
)

from glamm.errors import CheckpointError

ConfigT = TypeVar("ConfigT", bound=PreTrainedConfig)

_WITHOUT_EFFECT = frozenset(
    {
        "_attn_implementation",
        "_commit_hash",
        "_name_or_path",
        "architectures",
        "attention_dropout",
        "attn_implementation",
        "auto_map",
        "chunk_size_feed_forward",
        "dropout",
        "dtype",
        "id2label",
        "initializer_factor",
        "initializer_range",
        "label2id",
        "max_length",
        "model_type",
        "name_or_path",
        "num_labels",
        "output_attentions",
        "output_hidden_states",
        "pretraining_tp",
        "problem_type",
        "return_dict",
        "tokenizer_class",
        "torch_dtype",
        "transformers_version",
        "use_cache",
        *vars(GenerationConfig()),
    }
)
"""Keys of training and generation, and descriptions of the file.

`pretraining_tp` splits a product into parts and adds them: the function is the same.
"""

_CHANGES_OUTPUTS = re.compile(
    r"multiplier|scal(e|ing)|softcap|clip_qkv|qk_|alibi|rotary|rope|window|residual|expert|moe|quant|compress|mup|norm_type"
    r"|parallel|cross_attention|layer_types|temperature|interleave|pruned"
)
_NEUTRAL_FACTORS = re.compile(r"multiplier|scal(e|ing)")
_MAX_CHARACTERS = 80


def build_config(kind: type[ConfigT], values: Mapping[str, Any]) -> ConfigT:
    """Build a configuration of transformers.

    Raises:
        CheckpointError: A value has the wrong type, or contradicts another.
    """
    with refused_by_transformers():
        return kind(**{key: value for key, value in values.items() if key != "model_type"})


@contextmanager
def quiet() -> Iterator[None]:
    """Print no warnings and no progress bars of transformers and peft."""
    logger = logging.getLogger("transformers")
    level, shows_bars = logger.level, is_progress_bar_enabled()
    logger.setLevel(logging.ERROR)
    disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
        if shows_bars:
            enable_progress_bar()


@contextmanager
def refused_by_transformers() -> Iterator[None]:
    """Turn errors of transformers' configurations into a CheckpointError of one line; its warnings are not printed."""
    try:
        with quiet():
            yield
    except (StrictDataclassError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(" ".join(str(error).split())) from error


@contextmanager
def naming(file: Path) -> Iterator[None]:
    """Put the name of a file before the message of a CheckpointError."""
    try:
        yield
    except CheckpointError as error:
        raise CheckpointError(f"{file}: {error}") from error


def refuse_quantization(values: Mapping[str, Any]) -> None:
    """Refuse a config.json of quantized weights.

    Raises:
        CheckpointError: The weights are quantized.
    """
    quantization = values.get("quantization_config")
    if quantization:
        raise CheckpointError(
            f"quantization_config {shortened(quantization)}: quantized weights are not supported. "
            "Name the folder with the original weights."
        )


def check_fields(theirs: PreTrainedConfig, *, used: Collection[str]) -> None:
    """Refuse every field of the class that is neither used nor without effect, unless it has its default.

    Args:
        theirs: Of any family.
        used: Names of the fields that the caller translates.

    Raises:
        CheckpointError: The message names the field and its value.
    """
    refuse_quantization({"quantization_config": getattr(theirs, "quantization_config", None)})
    if theirs.hidden_act not in ACT2FN:
        raise CheckpointError(f"hidden_act {theirs.hidden_act!r} is not supported")
    for field in dataclasses.fields(theirs):
        value = getattr(theirs, field.name)
        is_known = field.name in used or field.name in _WITHOUT_EFFECT
        if not is_known and value not in (field.default, None):
            raise CheckpointError(f"{field.name} {shortened(value)} is not supported")


def unused_keys(
    values: Mapping[str, Any], kind: type[PreTrainedConfig], *, known: Collection[str] = ()
) -> dict[str, Any]:
    """The keys of a config.json that neither transformers' class nor the caller knows, with their values.

    Args:
        values: Content of config.json.
        kind: The class that transformers reads it with.
        known: Names of keys that the caller knows.

    Raises:
        CheckpointError: The name of such a key says that it changes the outputs.
    """
    refuse_quantization(values)
    fields = {field.name for field in dataclasses.fields(kind)}
    unused = {
        key: value
        for key, value in values.items()
        if key not in fields
        and key not in known
        and key not in _WITHOUT_EFFECT
        and value not in (None, False, "", [], {})
    }
    for key, value in unused.items():
        is_off = "window" in key and values.get("use_sliding_window") is False
        is_one = _NEUTRAL_FACTORS.search(key) and key != "attention_multiplier" and value == 1
        if _CHANGES_OUTPUTS.search(key) and not is_off and not is_one:
            raise CheckpointError(
                f"{key} {shortened(value)} is not supported: transformers' {kind.__name__} does not know it either"
            )
    return unused


def shortened(value: object) -> str:
    """A value for a message."""
    text = repr(value)
    return text if len(text) <= _MAX_CHARACTERS else f"{text[:_MAX_CHARACTERS]}…"
