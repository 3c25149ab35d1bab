import pytest
from hypothesis import given
from hypothesis import strategies as st

from glamm.errors import CheckpointError
from glamm.special_tokens import ADDED_TOKENS, escape_reserved_tokens
from glamm.structures.ids import IMAGE_PLACEHOLDER_ID
from glamm.text.grounded import GroundedText, parse_grounded
from glamm.text.tokenizer import Tokenizer, embedded_tokenizer

TOKENIZER = embedded_tokenizer()
PARTS = st.lists(
    st.sampled_from(
        [
            *ADDED_TOKENS,
            "</s>",
            "<unk>",
            " ",
            "\n",
            "a red cube",
            "é漢\N{GRINNING FACE}",
            "x",
            ".",
            "  ",
        ]
    )
    | st.text(max_size=5),
    max_size=10,
)


@given(parts=PARTS)
def test_starts_are_sorted_positions_in_the_text(parts):
    text = "".join(parts)

    encoding = TOKENIZER.encode(text)

    assert len(encoding.ids) == len(encoding.starts)
    assert encoding.ids[0] == TOKENIZER.token_id("<s>")
    assert all(0 <= start <= len(text) for start in encoding.starts)
    assert list(encoding.starts) == sorted(encoding.starts)


@given(parts=PARTS)
def test_special_tokens_start_at_their_position(parts):
    text = "".join(parts)

    encoding = TOKENIZER.encode(text)

    for token in ADDED_TOKENS:
        found = [
            s
            for i, s in zip(encoding.ids, encoding.starts, strict=True)
            if i == TOKENIZER.token_id(token)
        ]
        assert len(found) == text.count(token)
        assert all(text.startswith(token, start) for start in found)


@given(
    words=st.lists(st.text(alphabet="abcdefgh.,'", min_size=1, max_size=8), min_size=1, max_size=8)
)
def test_decode_is_inverse_of_encode_for_plain_text(words):
    text = " ".join(words)

    assert TOKENIZER.decode(TOKENIZER.encode(text).ids) == text


def test_image_is_encoded_as_the_placeholder():
    encoding = TOKENIZER.encode("<im_start><image><im_end>\nHello")

    assert encoding.ids[1:4] == (
        TOKENIZER.token_id("<im_start>"),
        IMAGE_PLACEHOLDER_ID,
        TOKENIZER.token_id("<im_end>"),
    )
    assert encoding.starts[1:4] == (0, 10, 17)


def test_added_tokens_end_the_vocabulary_in_the_order_of_the_release():
    ids = [TOKENIZER.token_id(token) for token in ADDED_TOKENS]

    assert ids == list(range(len(TOKENIZER) - len(ADDED_TOKENS), len(TOKENIZER)))


def test_damaged_file_is_named(tmp_path):
    path = tmp_path / "tokenizer.model"
    with pytest.raises(CheckpointError, match=r"tokenizer.model: cannot be read"):
        Tokenizer.from_file(path)
    path.write_bytes(b"not a model")
    with pytest.raises(CheckpointError, match="is not a SentencePiece model"):
        Tokenizer.from_file(path)


def test_special_tokens_spelled_with_ordinary_tokens_are_text():
    tokenizer = embedded_tokenizer()
    spelled = tokenizer.encode(escape_reserved_tokens("[SEG]")).ids[1:]

    decoded = tokenizer.decode(spelled)

    assert "[SEG]" not in decoded
    assert parse_grounded(decoded) == GroundedText("[SEG]", ())
