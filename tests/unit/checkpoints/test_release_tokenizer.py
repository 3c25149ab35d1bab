"""transformers reads the tokenizer that we write, and turns texts into the same tokens."""

import json

import pytest
from transformers import AutoTokenizer, LlamaTokenizer

from glamm.checkpoints.release_tokenizer import write_tokenizer
from glamm.models.language.pretrained import read_language_tokenizer
from glamm.special_tokens import ADDED_TOKENS, SEG
from glamm.text.tokenizer import Tokenizer, embedded_tokenizer
from tests.builders.language import write_llama_3
from tests.builders.models import GOLDENS

TEXTS = (
    "A man [SEG] and <p> a dog </p> [SEG] is here.",
    "<im_start><im_end>",
    "Look at <bbox>, please",
    "What is <bbox>?</p>",
    "a [SEG]",
    "[SEG] a",
    " <p>it</p>[SEG][SEG]",
    "<point>x<bbox>",
    "no special token",
)

READERS = {
    "auto": AutoTokenizer.from_pretrained,
    "auto, slow": lambda folder: AutoTokenizer.from_pretrained(folder, use_fast=False),
    "llama": LlamaTokenizer.from_pretrained,
}


def sentencepiece(name):
    if name == "embedded":
        return embedded_tokenizer()
    return Tokenizer.from_file(GOLDENS / "conformance/tokenizer/tokenizer.model")


def write(tokenizer, folder, *, model_type):
    (folder / "config.json").write_text(json.dumps({"model_type": model_type}))
    write_tokenizer(tokenizer, folder, max_length=99)


@pytest.mark.parametrize("model_type", ["llava", "llama"])
@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", ["embedded", "golden"])
def test_added_tokens_are_one_token_and_texts_are_the_same(tmp_path, name, reader, model_type):
    ours = sentencepiece(name)
    write(ours, tmp_path, model_type=model_type)

    theirs = READERS[reader](tmp_path)

    assert len(theirs) == len(ours)
    for token in ADDED_TOKENS:
        assert theirs(token, add_special_tokens=False).input_ids == [ours.token_id(token)]
    for text in TEXTS:
        assert tuple(theirs(text).input_ids) == ours.encode(text).ids, text
    assert (theirs.bos_token, theirs.eos_token, theirs.pad_token) == ("<s>", "</s>", "<unk>")
    assert theirs.padding_side == "right"
    answer = theirs.decode(ours.encode("a dog [SEG]").ids, skip_special_tokens=True)
    assert SEG in answer  # it is no control token


def test_older_versions_find_the_added_tokens(tmp_path):
    """Version 4.28 reads these two files beside tokenizer.model."""
    ours = embedded_tokenizer()

    write(ours, tmp_path, model_type="llava")

    added = json.loads((tmp_path / "added_tokens.json").read_text())
    first = len(ours) - len(ADDED_TOKENS)
    assert added == {token: first + index for index, token in enumerate(ADDED_TOKENS)}
    assert json.loads((tmp_path / "special_tokens_map.json").read_text()) == {
        "bos_token": "<s>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "pad_token": "<unk>",
    }
    assert (tmp_path / "tokenizer.model").read_bytes() == ours.model


def test_we_read_our_own_tokenizer_again(tmp_path):
    write(embedded_tokenizer(), tmp_path, model_type="llava")

    again = Tokenizer.from_folder(tmp_path)

    assert again.model == embedded_tokenizer().model


def test_tokenizer_of_llama_3_keeps_its_tokens(tmp_path):
    ours = read_language_tokenizer(write_llama_3(tmp_path / "llama"))
    folder = tmp_path / "release"
    folder.mkdir()
    write(ours, folder, model_type="llava")

    theirs = AutoTokenizer.from_pretrained(folder)

    assert len(theirs) == len(ours)
    for token in ADDED_TOKENS:
        assert theirs(token, add_special_tokens=False).input_ids == [ours.token_id(token)]
    assert theirs.eos_token_id == ours.token_id("</s>")
    assert theirs.bos_token_id == ours.token_id("<s>")
    assert Tokenizer.from_folder(folder).encode("a [SEG]").ids == ours.encode("a [SEG]").ids
