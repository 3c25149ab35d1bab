import json
from pathlib import Path

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import decoders, models, pre_tokenizers, trainers

from glamm.config.model import SpecialTokens
from glamm.errors import CheckpointError
from glamm.special_tokens import ADDED_TOKENS, RESERVED_TOKENS, escape_reserved_tokens
from glamm.structures.ids import IGNORE_LABEL, IMAGE_PLACEHOLDER_ID
from glamm.text.conversation import PROMPT_STYLES, Round, encode_conversation
from glamm.text.grounded import parse_grounded
from glamm.text.tokenizer import (
    FastTokenizer,
    Tokenizer,
    control_names,
    embedded_tokenizer,
)

NAMES = control_names("<|im_start|>", "<|im_end|>", "<|endoftext|>")


def _byte_level_bpe() -> tokenizers.Tokenizer:
    """A vocabulary like those of Llama 3, Qwen and SmolLM2: control tokens first."""
    bpe = tokenizers.Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(["a red cube stands on the table"] * 9, trainer)
    return bpe


BARE = _byte_level_bpe()
TOKENIZER = FastTokenizer(BARE.to_str().encode(), names=NAMES)
PARTS = st.lists(
    st.sampled_from(
        [
            *ADDED_TOKENS,
            "</s>",
            "<unk>",
            "<|im_end|>",
            " ",
            "\n",
            "a red cube",
            "é漢\N{GRINNING FACE}",
        ]
    )
    | st.text(max_size=5),
    max_size=10,
)


@given(parts=PARTS)
def test_starts_are_sorted_and_special_tokens_start_at_their_position(
    parts: list[str],
) -> None:
    text = "".join(parts)

    encoding = TOKENIZER.encode(text)

    assert encoding.ids[0] == TOKENIZER.token_id("<s>")
    assert len(encoding.ids) == len(encoding.starts)
    assert all(0 <= start <= len(text) for start in encoding.starts)
    assert list(encoding.starts) == sorted(encoding.starts)
    for token in ADDED_TOKENS:
        found = [
            start
            for index, start in zip(encoding.ids, encoding.starts, strict=True)
            if index == TOKENIZER.token_id(token)
        ]
        assert len(found) == text.count(token)
        assert all(text.startswith(token, start) for start in found)


@given(
    words=st.lists(st.text(alphabet="abcé漢.,'", min_size=1, max_size=8), min_size=1, max_size=8)
)
def test_decode_is_inverse_of_encode_for_plain_text(words: list[str]) -> None:
    text = " ".join(words)

    assert TOKENIZER.decode(TOKENIZER.encode(text).ids) == text


def test_grounded_answer_is_decoded_as_with_any_vocabulary() -> None:
    text = "<p> a red cube </p> [SEG] stands"
    encoding = TOKENIZER.encode(text)

    assert TOKENIZER.decode(encoding.ids) == text
    position = encoding.ids.index(TOKENIZER.token_id("</p>"))
    assert encoding.ids[position + 1] == TOKENIZER.token_id("[SEG]"), "no blank between them"


def test_special_tokens_are_found_by_name() -> None:
    special = SpecialTokens.from_tokenizer(TOKENIZER)

    assert (special.pad, special.bos, special.eos) == (0, 1, 2)
    assert special.bbox == BARE.get_vocab_size() + ADDED_TOKENS.index("<bbox>")
    assert special.seg == BARE.get_vocab_size() + ADDED_TOKENS.index("[SEG]")
    assert len(TOKENIZER) == BARE.get_vocab_size() + len(ADDED_TOKENS)


def test_existing_added_tokens_keep_their_ids() -> None:
    bare = _byte_level_bpe()
    bare.add_special_tokens(["[SEG]", "<bbox>"])

    tokenizer = FastTokenizer(bare.to_str().encode(), names=NAMES)

    assert tokenizer.token_id("[SEG]") == bare.token_to_id("[SEG]")
    assert tokenizer.token_id("<bbox>") == bare.token_to_id("<bbox>")
    assert len(tokenizer) == bare.get_vocab_size() + len(ADDED_TOKENS) - 2


def test_control_tokens_in_a_text_are_plain_text() -> None:
    encoding = TOKENIZER.encode("say <|im_end|> now")

    assert TOKENIZER.token_id("</s>") not in encoding.ids
    assert TOKENIZER.decode(encoding.ids) == "say <|im_end|> now"


def test_written_file_names_its_control_tokens(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_bytes(TOKENIZER.model)

    again = Tokenizer.from_folder(tmp_path)

    text = "USER: <im_start><image><im_end>\nWhat? ASSISTANT: a red cube [SEG].</s>"
    assert again.encode(text) == TOKENIZER.encode(text)
    assert again.model == TOKENIZER.model
    assert tokenizers.Tokenizer.from_file(str(path)).get_vocab_size() == len(TOKENIZER)


def test_foreign_folder_names_its_control_tokens_in_a_second_file(tmp_path: Path) -> None:
    BARE.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(CheckpointError, match=r"copy tokenizer_config\.json to the same folder"):
        Tokenizer.from_folder(tmp_path)
    names = {
        "bos_token": None,
        "eos_token": {"content": "<|im_end|>"},
        "pad_token": "<|endoftext|>",
    }
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(names))

    tokenizer = Tokenizer.from_folder(tmp_path)

    assert [tokenizer.token_id(token) for token in ("<s>", "</s>", "<unk>")] == [0, 2, 0]


def test_conversation_is_supervised_from_answer_to_end() -> None:
    conversation = encode_conversation(
        [Round("Where is a cube?", "Sure, [SEG].", ((0,),))],
        tokenizer=TOKENIZER,
        style=PROMPT_STYLES["plain"],
        max_tokens=200,
    )

    assert conversation.input_ids.count(IMAGE_PLACEHOLDER_ID) == 1
    supervised = [index for index in conversation.labels if index != IGNORE_LABEL]
    assert TOKENIZER.decode(supervised) == "Sure, [SEG] ."
    assert supervised[-1] == TOKENIZER.token_id("</s>")


@pytest.mark.parametrize(
    ("content", "names", "message"),
    [
        (b"{", NAMES, "is not a tokenizer.json"),
        (b"\xff", NAMES, "is not a tokenizer.json"),
        (BARE.to_str().encode(), {**NAMES, "</s>": "<end>"}, "has no token <end>"),
    ],
    ids=["damaged", "binary", "another model's names"],
)
def test_damaged_file_is_refused(content: bytes, names: dict[str, str], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        FastTokenizer(content, names=names)


@pytest.mark.parametrize(
    "tokenizer", [embedded_tokenizer(), TOKENIZER], ids=["sentencepiece", "fast"]
)
def test_escaped_reserved_tokens_are_plain_text(tokenizer: Tokenizer) -> None:
    text = f"see {' and '.join(RESERVED_TOKENS)} end"
    escaped = escape_reserved_tokens(text)

    encoding = tokenizer.encode(f"[SEG]{escaped}<bbox>")

    special = [tokenizer.token_id(token) for token in (*ADDED_TOKENS, "<s>", "</s>")]
    found = [index for index in encoding.ids if index in {*special, IMAGE_PLACEHOLDER_ID}]
    assert found == [tokenizer.token_id(token) for token in ("<s>", "[SEG]", "<bbox>")]
    assert max(encoding.starts) == len("[SEG]") + len(escaped)
    assert parse_grounded(tokenizer.decode(encoding.ids)).text == text
