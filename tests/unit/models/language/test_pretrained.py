from pathlib import Path

import pytest

from glamm.errors import CheckpointError
from glamm.models.language.pretrained import read_language_config, read_language_tokenizer
from tests.builders.language import CONTROL_TOKENS, NUM_BYTES, write_llama_3


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_llama_3(tmp_path / "llama")


def test_configuration_of_a_folder_is_read(folder: Path) -> None:
    config = read_language_config(folder)

    assert config.architecture == "llama"
    assert config.vocab_size == NUM_BYTES + len(CONTROL_TOKENS)
    assert config.num_key_value_heads == 2
    assert config.rope_theta == 500_000.0
    assert config.tie_embeddings


def test_tokenizer_of_a_folder_gets_the_special_tokens(folder: Path) -> None:
    tokenizer = read_language_tokenizer(folder)

    assert len(tokenizer) == NUM_BYTES + len(CONTROL_TOKENS) + 7
    assert tokenizer.token_id("[SEG]") in tokenizer.encode("USER: <bbox> [SEG]").ids


@pytest.mark.parametrize(
    ("missing", "read"),
    [
        ("config.json", read_language_config),
        ("tokenizer.json", read_language_tokenizer),
        ("folder", read_language_config),
    ],
    ids=["config", "tokenizer", "folder"],
)
def test_missing_file_is_named(folder: Path, missing: str, read: object) -> None:
    if missing == "folder":
        folder = folder / "nowhere"
    else:
        (folder / missing).unlink()

    with pytest.raises(CheckpointError, match=str(folder)):
        read(folder)  # type: ignore[operator]
