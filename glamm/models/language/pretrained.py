"""Pretrained language models of transformers: a folder of `save_pretrained`, or a GGUF file."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from glamm.config.language import LanguageModelConfig
from glamm.errors import CheckpointError, HostError
from glamm.files import stand_in
from glamm.models.foreign_keys import naming, refused_by_transformers
from glamm.models.language.foreign_config import to_language_config
from glamm.text.tokenizer import (
    FAST_FILE,
    SENTENCEPIECE_FILE,
    FastTokenizer,
    Tokenizer,
    control_names,
)


def is_gguf(source: Path) -> bool:
    """Whether a path is that of a GGUF file, by its name."""
    return source.suffix == ".gguf"


def read_language_config(source: Path) -> LanguageModelConfig:
    """Read the configuration of a LLaMA, Qwen 2 or Qwen 3, with its vocabulary as published.

    Args:
        source: A folder with config.json, or a GGUF file.

    Raises:
        CheckpointError: It is missing or damaged, is of another family, or uses a feature that is not supported.
        HostError: Reading a GGUF file needs the package gguf.
    """
    folder, options = _location(source)
    file = source if options else folder / "config.json"
    with (
        _checkpoint_errors(source, "has no configuration of a language model"),
        naming(file),
        refused_by_transformers(),
    ):
        theirs = AutoConfig.from_pretrained(folder, local_files_only=True, **options)
    with naming(file):
        return to_language_config(theirs)


def read_language_tokenizer(source: Path) -> Tokenizer:
    """Read the tokenizer of a language model and add GLaMM's special tokens.

    Args:
        source: A folder with any tokenizer that transformers reads, or a GGUF file.

    Raises:
        CheckpointError: There is no tokenizer, or it is damaged.
        HostError: Reading a GGUF file needs the package gguf.
    """
    folder, options = _location(source)
    if not options and ((folder / FAST_FILE).exists() or (folder / SENTENCEPIECE_FILE).exists()):
        return Tokenizer.from_folder(folder)
    with _checkpoint_errors(source, "has no tokenizer that can be read"):
        theirs: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True, **options)
    names = control_names(theirs.bos_token, theirs.eos_token, theirs.pad_token or theirs.unk_token)
    return FastTokenizer(theirs.backend_tokenizer.to_str().encode(), names=names)


def read_gguf_weights(source: Path) -> dict[str, Tensor]:
    """Read the weights of a GGUF file, expanded to float32, under the names of transformers.

    Raises:
        CheckpointError: The file is missing or damaged, or is not a causal language model.
        HostError: The package gguf is not installed.
    """
    folder, options = _location(source)
    with _checkpoint_errors(source, "is not a language model that can be read"):
        model: Any = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, **options)
    weights: dict[str, Tensor] = model.state_dict()
    if model.config.tie_word_embeddings:
        del weights["lm_head.weight"]
    return weights


def _location(source: Path) -> tuple[Path, dict[str, str]]:
    """The folder that transformers reads, and the option that names a GGUF file in it."""
    if not source.exists():
        raise CheckpointError(f"{source}: cannot be read (there is no such file or folder)")
    fault = stand_in(source) if source.is_file() else None
    if fault:
        raise CheckpointError(f"{source}: {fault}")
    return (source.parent, {"gguf_file": source.name}) if is_gguf(source) else (source, {})


@contextmanager
def _checkpoint_errors(source: Path, fault: str) -> Iterator[None]:
    """Turn the errors of transformers into ours, with the file's name."""
    try:
        yield
    except ImportError as error:
        raise HostError(f"{source}: needs another package: pip install gguf") from error
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"{source}: {fault}: {' '.join(str(error).split())}") from error
