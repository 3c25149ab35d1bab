"""A conversation as the model reads it: rounds of questions and answers around one image."""

from collections.abc import Sequence
from dataclasses import dataclass

from glamm.errors import RequestError
from glamm.special_tokens import (
    ADDED_TOKENS,
    BEGIN,
    BOX,
    END,
    IMAGE,
    IMAGE_END,
    IMAGE_START,
    UNKNOWN,
)
from glamm.structures.ids import IGNORE_LABEL
from glamm.text.tokenizer import Tokenizer

_RESERVED = (*ADDED_TOKENS, IMAGE, BEGIN, END, UNKNOWN)


@dataclass(frozen=True, slots=True)
class PromptStyle:
    """The words around a conversation.

    Args:
        system: The first sentence, or nothing.
        user: Name of the asker.
        assistant: Name of the answerer; everything after it is supervised.
        preamble: Stands before the first question and holds the image.
    """

    system: str
    user: str
    assistant: str
    preamble: str


_PICTURE = f"{IMAGE_START}{IMAGE}{IMAGE_END}"

PROMPT_STYLES = {
    "release": PromptStyle(
        system="A chat between a curious human and an artificial intelligence assistant. "
        "The assistant gives helpful, detailed, and polite answers to the human's questions.",
        user="USER:",
        assistant="ASSISTANT:",
        preamble=f"The {_PICTURE} provides an overview of the picture.\n",
    ),
    "plain": PromptStyle(system="", user="USER:", assistant="ASSISTANT:", preamble=f"{_PICTURE}\n"),
}
"""`release`: what the released weights were trained on (llava_v1). `plain`: ours, a fifth of the tokens."""


@dataclass(frozen=True, slots=True)
class Round:
    """A question and its answer, with what their special tokens stand for.

    Args:
        question: What the user says; one `<bbox>` a region.
        answer: What the assistant says; one `[SEG]` a target.
        seg_targets: For each [SEG] of the answer, the ids of the objects whose union is the target.
        region_ids: For each <bbox> of the question, the id of the object whose box it is.
    """

    question: str
    answer: str
    seg_targets: tuple[tuple[int, ...], ...] = ()
    region_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class EncodedConversation:
    """Tokens, labels and the objects behind the special tokens.

    Args:
        input_ids: One IMAGE_PLACEHOLDER_ID among them.
        labels: `input_ids` where supervised, IGNORE_LABEL elsewhere.
        rounds: The rounds that fitted.
        num_dropped_rounds: Whole rounds left out because they did not fit.
    """

    input_ids: tuple[int, ...]
    labels: tuple[int, ...]
    rounds: tuple[Round, ...]
    num_dropped_rounds: int


def find_reserved_token(text: str) -> str | None:
    """The first special token that stands in plain text, where it would change the meaning of a prompt; or None."""
    return next((token for token in _RESERVED if token in text), None)


def build_prompt(question: str, *, style: PromptStyle) -> str:
    """Write a question so that the model's next token begins the answer."""
    return f"{_opening(style)}{style.user} {style.preamble}{question} {style.assistant}"


def prepare_question(question: str, *, num_boxes: int) -> str:
    """Make a user's question safe to put into a prompt.

    Args:
        question: Plain words; `<bbox>` may stand where each region is meant.
        num_boxes: How many regions come with it.

    Returns:
        The question with one `<bbox>` a region; regions that are not mentioned at all are listed at its end.

    Raises:
        RequestError: Nothing asked, a reserved word in the question, or another number of `<bbox>` than of boxes.
    """
    if not question.strip():
        raise RequestError("the question is empty: ask something about the image")
    reserved = find_reserved_token(question.replace(BOX, ""))
    if reserved:
        raise RequestError(
            f"the question holds {reserved}, which is reserved for the model: leave it out"
        )
    mentioned = question.count(BOX)
    if mentioned == num_boxes:
        return question
    if mentioned:
        raise RequestError(
            f"the question has {mentioned} {BOX} placeholders and {num_boxes} boxes came with it: send one box for each"
        )
    regions = ", ".join(f"region{index + 1} {BOX}" for index in range(num_boxes))
    return f"{question} {regions}"


def encode_conversation(
    rounds: Sequence[Round], *, tokenizer: Tokenizer, style: PromptStyle, max_tokens: int
) -> EncodedConversation:
    """Turn rounds into tokens; whole last rounds are dropped until the rest fits.

    Args:
        rounds: At least one.
        tokenizer: The model's.
        style: The words around the rounds.
        max_tokens: Limit, the image counted as one.

    Returns:
        What fits. No answer is ever cut, so that every [SEG] keeps its mask.

    Raises:
        ValueError: Not even the first round fits.

    Upstream: the release cuts at 961 tokens, which can separate [SEG] tokens from their masks.
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
    raise ValueError(
        f"the first round alone has {num_tokens} tokens, the limit is {max_tokens}: shorten it or raise the limit"
    )


def _opening(style: PromptStyle) -> str:
    return f"{style.system} " if style.system else ""


def _write(rounds: Sequence[Round], style: PromptStyle) -> tuple[str, list[tuple[int, int]]]:
    """Write all rounds and say which code points are supervised."""
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
    """Keep the ids of tokens that start inside an answer; the begin token never does."""
    labels = [IGNORE_LABEL] * len(ids)
    for position in range(1, len(ids)):
        if any(start <= starts[position] < end for start, end in supervised):
            labels[position] = ids[position]
    return tuple(labels)
