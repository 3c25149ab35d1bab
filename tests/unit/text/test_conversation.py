import pytest
from hypothesis import given
from hypothesis import strategies as st

from glamm.errors import RequestError
from glamm.special_tokens import ADDED_TOKENS, find_reserved_token
from glamm.structures.ids import IGNORE_LABEL
from glamm.text.conversation import (
    PROMPT_STYLES,
    Round,
    build_prompt,
    encode_conversation,
    prepare_question,
)
from glamm.text.tokenizer import embedded_tokenizer

TOKENIZER = embedded_tokenizer()
SEG, EOS = TOKENIZER.token_id("[SEG]"), TOKENIZER.token_id("</s>")

WORDS = st.text(alphabet="abc é.\N{GRINNING FACE}", min_size=1, max_size=12).filter(str.strip)


@st.composite
def rounds(draw):
    """Arguments of a round, which is created in the test: type checks draw random numbers, which hypothesis forbids here."""
    number = draw(st.integers(1, 6))
    made = []
    for index in range(number):
        segs = draw(st.integers(0, 3))
        answer = draw(WORDS).strip() + "".join(
            f" <p> {draw(WORDS).strip()} </p> [SEG]" for _ in range(segs)
        )
        made.append((draw(WORDS), answer, tuple((index, i) for i in range(segs))))
    return made


STYLES = st.sampled_from(sorted(PROMPT_STYLES))


@given(conversation=rounds(), style=STYLES)
def test_labels_are_exactly_the_answers(conversation, style):
    conversation = [Round(*values) for values in conversation]
    encoded = encode_conversation(
        conversation, tokenizer=TOKENIZER, style=PROMPT_STYLES[style], max_tokens=10_000
    )

    answers, current = [], []
    for token, label in zip(encoded.input_ids, encoded.labels, strict=True):
        assert label in {token, IGNORE_LABEL}
        if label != IGNORE_LABEL:
            current.append(token)
        if label == EOS:
            answers.append(TOKENIZER.decode(current))
            current = []
    assert not current
    assert [" ".join(answer.split()) for answer in answers] == [
        " ".join(turn.answer.split()) for turn in conversation
    ]


def encode_first(conversation, style):
    style = PROMPT_STYLES[style]
    return encode_conversation(
        conversation[:1], tokenizer=TOKENIZER, style=style, max_tokens=10_000
    ).input_ids


@given(conversation=rounds(), style=STYLES, max_tokens=st.integers(1, 200))
def test_truncation_drops_whole_rounds_with_their_masks(conversation, style, max_tokens):
    conversation = [Round(*values) for values in conversation]

    def encode(limit):
        return encode_conversation(
            conversation, tokenizer=TOKENIZER, style=PROMPT_STYLES[style], max_tokens=limit
        )

    if len(encode_first(conversation, style)) > max_tokens:
        with pytest.raises(ValueError, match=f"the limit is {max_tokens}"):
            encode(max_tokens)
        return
    encoded, whole = encode(max_tokens), encode(10_000)
    assert len(encoded.input_ids) <= max_tokens
    assert list(encoded.rounds) == conversation[: len(encoded.rounds)]
    assert encoded.num_dropped_rounds == len(conversation) - len(encoded.rounds)
    assert encoded.input_ids == whole.input_ids[: len(encoded.input_ids)]
    assert encoded.input_ids.count(SEG) == sum(len(turn.seg_targets) for turn in encoded.rounds)
    assert encoded.labels[-1] == EOS


@pytest.mark.parametrize("style", sorted(PROMPT_STYLES))
def test_prompt_is_a_prefix_of_the_training_text(style):
    question, answer = "What is it?", "A cube."
    trained = encode_conversation(
        [Round(question, answer)], tokenizer=TOKENIZER, style=PROMPT_STYLES[style], max_tokens=1000
    )

    prompt = TOKENIZER.encode(build_prompt(question, style=PROMPT_STYLES[style])).ids

    assert trained.input_ids[: len(prompt)] == prompt
    assert set(trained.labels[: len(prompt)]) == {IGNORE_LABEL}
    assert IGNORE_LABEL not in trained.labels[len(prompt) :]


def test_conversation_without_rounds_is_refused():
    with pytest.raises(ValueError, match="at least one round"):
        encode_conversation([], tokenizer=TOKENIZER, style=PROMPT_STYLES["plain"], max_tokens=10)


@pytest.mark.parametrize("token", [*ADDED_TOKENS, "<image>", "<s>", "</s>", "<unk>"])
def test_special_tokens_in_a_text_are_found(token):
    assert find_reserved_token(f"so {token} it is") == token
    assert find_reserved_token("plain words < p > [seg]") is None


def test_question_gets_one_placeholder_per_box():
    assert prepare_question("What?", num_boxes=0) == "What?"
    assert prepare_question("Is <bbox> left of <bbox>?", num_boxes=2) == "Is <bbox> left of <bbox>?"
    assert prepare_question("What?", num_boxes=2) == "What? region1 <bbox>, region2 <bbox>"


@pytest.mark.parametrize(
    ("question", "num_boxes", "message"),
    [
        (" ", 0, "is empty"),
        ("a [SEG]", 0, r"contains \[SEG\]"),
        ("<bbox>?", 2, "1 <bbox> placeholders and 2 boxes"),
    ],
    ids=["empty", "reserved token", "missing box"],
)
def test_bad_question_is_refused(question, num_boxes, message):
    with pytest.raises(RequestError, match=message):
        prepare_question(question, num_boxes=num_boxes)
