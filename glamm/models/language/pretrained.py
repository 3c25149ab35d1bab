"""A pretrained language model with its vocabulary, from a Hugging Face folder or a GGUF file."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

from glamm.config.model import LanguageModelConfig
from glamm.errors import CheckpointError, HostError
from glamm.models.language.causal import to_language_config
from glamm.text.tokenizer import (
    FAST_FILE,
    SENTENCEPIECE_FILE,
    FastTokenizer,
    Tokenizer,
    control_names,
)


@dataclass(frozen=True, slots=True)
class PretrainedLanguageModel:
    """What a GLaMM on it needs.

    Args:
        config: Sizes, the added tokens counted in.
        weights: State dict of `build_language_model(config)`.
        tokenizer: With the added tokens.
    """

    config: LanguageModelConfig
    weights: dict[str, Tensor]
    tokenizer: Tokenizer


def read_language_model(source: Path) -> PretrainedLanguageModel:
    """Read a LLaMA, Qwen 2 or Qwen 3 and make room for the added tokens in its vocabulary.

    Embeddings of new tokens are drawn around the mean of the old ones (Hewitt 2021), from torch's global generator.

    Args:
        source: A folder that `save_pretrained` wrote, or a .gguf file; the latter's weights are expanded to float32.

    Raises:
        CheckpointError: It is missing or damaged, of another family, or has no tokenizer.
        HostError: A GGUF file needs the package gguf.
    """
    folder, options = (
        (source.parent, {"gguf_file": source.name}) if source.is_file() else (source, {})
    )
    if not source.exists():
        raise CheckpointError(f"{source}: cannot be read (there is no such file or folder)")
    try:
        model: Any = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, **options)
    except ImportError as error:
        raise HostError(f"{source}: needs another package: pip install gguf") from error
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(
            f"{source}: is no language model that can be read: {error}"
        ) from error
    config = to_language_config(model.config)
    tokenizer = _read_tokenizer(folder, options)
    size = max(config.vocab_size, len(tokenizer))
    model.resize_token_embeddings(size)
    config = config.model_copy(update={"vocab_size": size})
    weights: dict[str, Tensor] = model.state_dict()
    if config.tie_embeddings:
        del weights["lm_head.weight"]
    return PretrainedLanguageModel(config, weights, tokenizer)


def _read_tokenizer(folder: Path, options: dict[str, str]) -> Tokenizer:
    if not options and ((folder / FAST_FILE).exists() or (folder / SENTENCEPIECE_FILE).exists()):
        return Tokenizer.from_folder(folder)
    try:
        theirs: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True, **options)
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"{folder}: has no tokenizer that can be read: {error}") from error
    names = control_names(theirs.bos_token, theirs.eos_token, theirs.pad_token or theirs.unk_token)
    return FastTokenizer(theirs.backend_tokenizer.to_str().encode(), names=names)
