import pytest

from tests.builders.own_data import copy_format, edit_json, read_records

FILE = "llava_dataset/llava_instruct_150k.json"
QUESTION = {"from": "human", "value": "What is it?\n<image>"}
ANSWER = {"from": "gpt", "value": "A cup."}


def read_conversation(root, **changes):
    """Turns of the first record with other fields, and the issues."""
    edit_json(root / FILE, lambda records: records[0].update(changes))
    records, issues = read_records("llava_instruct_150k", root)
    turns = {record.location.record: record.samples[0].turns for record in records}
    return turns.get("0"), issues


def test_tag_of_the_image_is_removed(tmp_path):
    root = copy_format("llava_instruct_150k", tmp_path)

    turns, issues = read_conversation(root, conversations=[QUESTION, ANSWER])

    assert issues == []
    assert [(turn.role, turn.text) for turn in turns] == [
        ("user", "What is it?"),
        ("assistant", "A cup."),
    ]


def test_answer_before_the_first_question_is_dropped(tmp_path):
    root = copy_format("llava_instruct_150k", tmp_path)

    turns, issues = read_conversation(root, conversations=[ANSWER, QUESTION, ANSWER])

    assert issues == []
    assert [turn.role for turn in turns] == ["user", "assistant"]


@pytest.mark.parametrize(
    ("conversations", "texts", "issue"),
    [
        ([QUESTION, ANSWER, QUESTION], ["What is it?", "A cup."],
         "field conversations[2]: the last question has no answer"),
        ([ANSWER, QUESTION, ANSWER, QUESTION, {"from": "gpt", "value": " "}], ["What is it?", "A cup."],
         "field conversations[3]: the question or its answer is empty"),
        ([{"from": "human", "value": "<image>"}, ANSWER, QUESTION, ANSWER], ["What is it?", "A cup."],
         "field conversations[0]: the question or its answer is empty"),
    ],
    ids=["no answer", "empty answer", "only the tag"],
)  # fmt: skip
def test_incomplete_round_costs_only_itself(tmp_path, conversations, texts, issue):
    root = copy_format("llava_instruct_150k", tmp_path)

    turns, issues = read_conversation(root, conversations=conversations)

    assert [turn.text for turn in turns] == texts
    assert [issue in line for line in issues] == [True]


@pytest.mark.parametrize(
    ("human", "gpt"), [("Human", "GPT"), ("user", "assistant"), ("USER", "Assistant")], ids=str
)
def test_speakers_may_have_other_names(tmp_path, human, gpt):
    root = copy_format("llava_instruct_150k", tmp_path)
    conversations = [QUESTION | {"from": human}, ANSWER | {"from": gpt}]

    turns, issues = read_conversation(root, conversations=conversations)

    assert issues == []
    assert [turn.role for turn in turns] == ["user", "assistant"]


def test_tag_in_an_answer_is_text(tmp_path):
    root = copy_format("llava_instruct_150k", tmp_path)
    answer = {"from": "gpt", "value": "Write <image> first."}

    turns, issues = read_conversation(root, conversations=[QUESTION, answer])

    assert issues == []
    assert turns[1].text == "Write <image> first."


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"conversations": None}, "field conversations: has no turns"),
        ({"conversations": [ANSWER]}, "field conversations: has no turns"),
        ({"conversations": [QUESTION, QUESTION]}, "field conversations: human and gpt do not alternate"),
        ({"conversations": [QUESTION | {"from": "system"}]},
         "field conversations[0].from: must be 'human' or 'gpt'"),
        ({"conversations": [QUESTION, {"from": "gpt"}]}, "field conversations[1].value: is missing"),
        ({"image": "none.jpg"}, "field file_name: there is no image 'none.jpg'"),
    ],
    ids=["no list", "no question", "two questions", "role", "no text", "no image"],
)  # fmt: skip
def test_invalid_conversation_is_left_out_alone(tmp_path, changes, message):
    root = copy_format("llava_instruct_150k", tmp_path)

    turns, issues = read_conversation(root, **changes)

    assert turns is None
    assert len(issues) == 1
    assert f"record 0, {message}" in issues[0]
