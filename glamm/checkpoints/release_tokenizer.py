"""The files of a tokenizer in the layout of the release, so that transformers finds its added tokens and their ids."""

import json
from pathlib import Path
from typing import Any

from transformers import LlamaTokenizer

from glamm.files import write_bytes, write_text
from glamm.special_tokens import ADDED_TOKENS, BEGIN, END, UNKNOWN
from glamm.text.tokenizer import (
    FAST_FILE,
    NAMES_FILE,
    FastTokenizer,
    Tokenizer,
    tokenizer_file_name,
)

_ADDED_FILE, _MAP_FILE = "added_tokens.json", "special_tokens_map.json"


def write_tokenizer(tokenizer: Tokenizer, folder: Path, *, max_length: int) -> None:
    """Write a tokenizer for every version of transformers.

    Version 4.28, with which the release was trained, reads `tokenizer.model` and `added_tokens.json`. Later versions read
    `tokenizer_config.json`; and, where config.json names LLaVA, only `tokenizer.json`, which therefore is written for a
    SentencePiece model too. All of them turn a text into the same tokens as `Tokenizer.encode`.

    Args:
        tokenizer: Of the model.
        folder: It exists.
        max_length: Longest sequence of the model, in tokens.
    """
    write_bytes(folder / tokenizer_file_name(tokenizer.model), tokenizer.model)
    names = {"bos_token": BEGIN, "eos_token": END, "unk_token": UNKNOWN, "pad_token": UNKNOWN}
    if isinstance(tokenizer, FastTokenizer):
        names = {key: tokenizer.control_name(token) for key, token in names.items()}
    added = {token: tokenizer.token_id(token) for token in ADDED_TOKENS}
    _write_json(folder / _ADDED_FILE, added)
    _write_json(folder / _MAP_FILE, names)
    settings: dict[str, Any] = {
        **names,
        "clean_up_tokenization_spaces": False,
        "model_max_length": max_length,
        "padding_side": "right",
    }
    if isinstance(tokenizer, FastTokenizer):
        _write_json(folder / NAMES_FILE, settings | {"tokenizer_class": "PreTrainedTokenizerFast"})
        return
    controls = {tokenizer.token_id(token): token for token in (UNKNOWN, BEGIN, END)}
    settings |= {
        "add_bos_token": True,
        "add_eos_token": False,
        "legacy": True,  # the text after an added token begins with a dummy blank
        "tokenizer_class": "LlamaTokenizer",
        "added_tokens_decoder": {
            **{str(index): _entry(token, is_control=True) for index, token in controls.items()},
            **{str(index): _entry(token, is_control=False) for token, index in added.items()},
        },
    }
    _write_json(folder / NAMES_FILE, settings)
    fast: Any = LlamaTokenizer.from_pretrained(folder, local_files_only=True)
    write_text(folder / FAST_FILE, fast.backend_tokenizer.to_str())


def _entry(token: str, *, is_control: bool) -> dict[str, Any]:
    """An added token takes the blanks around it; it is no control token, so that answers keep their [SEG]."""
    return {
        "content": token,
        "lstrip": not is_control,
        "normalized": False,
        "rstrip": not is_control,
        "single_word": False,
        "special": is_control,
    }


def _write_json(path: Path, value: dict[str, Any]) -> None:
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")
