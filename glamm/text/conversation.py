"""Conversations: rounds of questions and answers about one image, encoded as tokens and labels."""

from collections.abc import Sequence
from dataclasses import dataclass

from glamm.errors import RequestError
from glamm.special_tokens import (
    BOX,
    END,
    IMAGE,
    IMAGE_END,
    IMAGE_START,
    find_reserved_token,
)
from glamm.structures.ids import IGNORE_LABEL
from glamm.text.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class PromptStyle:
    """The fixed text around a conversation.

    Args:
        system: The text at the start; may be empty.
        user: Precedes every question.
        assistant: Precedes every answer; the answer is supervised.
        preamble: Precedes the first question and contains the image.
    """

    system: str
    user: str
    assistant: str
    preamble: str


_IMAGE_BLOCK = f"{IMAGE_START}{IMAGE}{IMAGE_END}"

PROMPT_STYLES = {
    "release": PromptStyle(
        system="A chat between a curious human and an artificial intelligence assistant. "
        "The assistant gives helpful, detailed, and polite answers to the human's questions.",
        user="USER:",
        assistant="ASSISTANT:",
        preamble=f"The {_IMAGE_BLOCK} provides an overview of the picture.\n",
    ),
    "plain": PromptStyle(
        system="", user="USER:", assistant="ASSISTANT:", preamble=f"{_IMAGE_BLOCK}\n"
    ),
}
"""`release`: the released weights were trained with it (llava_v1). `plain`: ours, with a fifth of the tokens."""


@dataclass(frozen=True, slots=True)
class Round:
    """A question and its answer, with the objects that their special tokens refer to.

    Args:
        question: Text of the user, with one `<bbox>` per region.
        answer: Text of the assistant, with one `[SEG]` per target mask.
        seg_targets: For each [SEG] of the answer, the ids of the objects whose union is the target mask.
        region_ids: For each <bbox> of the question, the id of the object whose box it stands for.
    """

    question: str
    answer: str
    seg_targets: tuple[tuple[int, ...], ...] = ()
    region_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class EncodedConversation:
    """Tokens and labels of a conversation.

    Args:
        input_ids: With one IMAGE_PLACEHOLDER_ID.
        labels: `input_ids` where supervised, IGNORE_LABEL elsewhere.
        rounds: The rounds within the token limit; their objects belong to the special tokens.
        num_dropped_rounds: Rounds at the end that exceeded the limit.
    """

    input_ids: tuple[int, ...]
    labels: tuple[int, ...]
    rounds: tuple[Round, ...]
    num_dropped_rounds: int


class TextTooLongError(ValueError):
    """The first round of a conversation exceeds the limit."""


def build_prompt(question: str, *, style: PromptStyle) -> str:
    """The prompt of a question: the next token of the model begins the answer."""
    return f"{_opening(style)}{style.user} {style.preamble}{question} {style.assistant}"


def prepare_question(question: str, *, num_boxes: int) -> str:
    """Validate a user's question and complete its `<bbox>` placeholders.

    Args:
        question: Plain text; `<bbox>` marks where each region is mentioned.
        num_boxes: Number of the question's boxes.

    Returns:
        The question with one `<bbox>` per box; if it had none, the regions are listed at its end.

    Raises:
        RequestError: The question is empty, contains a reserved token, or has another number of `<bbox>` than of boxes.
    """
    if not question.strip():
        raise RequestError("the question is empty: ask something about the image")
    reserved = find_reserved_token(question.replace(BOX, ""))
    if reserved:
        raise RequestError(
            f"the question contains {reserved}, which is reserved for the model: remove it"
        )
    num_placeholders = question.count(BOX)
    if num_placeholders == num_boxes:
        return question
    if num_placeholders:
        raise RequestError(
            f"the question has {num_placeholders} {BOX} placeholders and {num_boxes} boxes: send one box for each"
        )
    regions = ", ".join(f"region{index + 1} {BOX}" for index in range(num_boxes))
    return f"{question} {regions}"


def encode_conversation(
    rounds: Sequence[Round], *, tokenizer: Tokenizer, style: PromptStyle, max_tokens: int
) -> EncodedConversation:
    """Encode rounds as tokens; rounds at the end are dropped until the rest is within the limit.

    Args:
        rounds: At least one.
        tokenizer: The one of the model.
        style: The fixed text around the rounds.
        max_tokens: The limit; the image counts as one token.

    Returns:
        The encoded conversation. Answers are never truncated, so that every [SEG] keeps its mask.

    Raises:
        TextTooLongError: The first round exceeds the limit.
        ValueError: There are no rounds.

    Upstream: the release truncates at 961 tokens, which can remove [SEG] tokens whose masks remain.
    """
    if not rounds:
        raise ValueError("a conversation needs at least one round")
    num_tokens = 0
    for kept in range(len(rounds), 0, -1):
        text, supervised = _write(rounds[:kept], style)
        encoding = tokenizer.encode(text)
        num_tokens = len(encoding.ids)
        if num_tokens <= max_tokens:
            labels = _labels(encoding.ids, encoding.starts, supervised)
            return EncodedConversation(
                encoding.ids, labels, tuple(rounds[:kept]), len(rounds) - kept
            )
    raise TextTooLongError(
        f"the first round alone has {num_tokens} tokens, the limit is {max_tokens}: shorten it or raise the limit"
    )


def _opening(style: PromptStyle) -> str:
    return f"{style.system} " if style.system else ""


def _write(rounds: Sequence[Round], style: PromptStyle) -> tuple[str, list[tuple[int, int]]]:
    """The text of all rounds, and the ranges of code points that are supervised."""
    text = _opening(style)
    supervised: list[tuple[int, int]] = []
    for index, item in enumerate(rounds):
        preamble = "" if index else style.preamble
        text += f"{style.user} {preamble}{item.question} {style.assistant}"
        start = len(text)
        text += f" {item.answer}{END}"
        supervised.append((start, len(text)))
    return text, supervised


def _labels(
    ids: Sequence[int], starts: Sequence[int], supervised: Sequence[tuple[int, int]]
) -> tuple[int, ...]:
    """Labels of tokens that start inside an answer; the begin token never does."""
    labels = [IGNORE_LABEL] * len(ids)
    for position in range(1, len(ids)):
        if any(start <= starts[position] < end for start, end in supervised):
            labels[position] = ids[position]
    return tuple(labels)
