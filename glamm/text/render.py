"""Render a sample as the rounds of a conversation; wordings and targets are chosen at random."""

import random

from glamm.special_tokens import BOX, escape_reserved_tokens
from glamm.structures.sample import Sample, SpanKind, Target, Task, Turn
from glamm.text.conversation import Round
from glamm.text.grounded import render_grounded
from glamm.text.templates import (
    CAPTION_QUESTIONS,
    GROUNDED_CONVERSATION_QUESTIONS,
    REGION_QUESTIONS,
    SEGMENTATION_ANSWERS,
    SEGMENTATION_QUESTIONS,
)

MAX_SEGMENTATION_TARGETS = 3
"""Expressions or classes in one conversation, as in the release."""

MAX_REGIONS = 10
"""Regions in one conversation, as in the release."""

_WORDS_PER_SPAN = 4
_WORDS_PER_QUESTION = 8
_WORDS_PER_TEMPLATE = 12
"""Typical numbers of words for `estimate_num_words`: a template is a question and the answer without its target."""

_MAX_WORD_BYTES = 16
"""Text without spaces, such as Chinese, counts as words of this many bytes in UTF-8."""

_QUESTIONS = {
    Task.GROUNDED_CONVERSATION: GROUNDED_CONVERSATION_QUESTIONS,
    Task.IMAGE_CAPTIONING: CAPTION_QUESTIONS,
}


def render_rounds(sample: Sample, rng: random.Random) -> tuple[Round, ...]:
    """Render a sample as questions and answers.

    Args:
        sample: With turns or with targets.
        rng: Chooses wordings, and targets if there are too many.

    Returns:
        At least one round.

    Raises:
        ValueError: The sample has neither turns nor targets, or turns that do not alternate.
    """
    if sample.turns:
        return _explicit(sample, rng)
    if not sample.targets:
        raise ValueError(f"{sample.sample_id}: neither turns nor targets")
    if sample.task is Task.REGION_CAPTIONING:
        chosen = _choose(sample.targets, MAX_REGIONS, rng)
        return tuple(
            _region_round(target, index, rng) for index, target in enumerate(chosen, start=1)
        )
    chosen = _choose(sample.targets, MAX_SEGMENTATION_TARGETS, rng)
    return tuple(_segmentation_round(target, rng) for target in chosen)


def estimate_num_words(sample: Sample) -> int:
    """Estimate the number of words that `render_rounds` writes; similar samples are batched together to reduce padding."""
    num_words = sum(
        (_WORDS_PER_QUESTION if turn.text is None else _num_words(turn.text))
        + _WORDS_PER_SPAN * len(turn.spans)
        for turn in sample.turns
    )
    if not sample.targets:
        return num_words
    is_regions = sample.task is Task.REGION_CAPTIONING
    num_chosen = min(len(sample.targets), MAX_REGIONS if is_regions else MAX_SEGMENTATION_TARGETS)
    target_words = sum(_num_words(target.text) for target in sample.targets)
    num_words += num_chosen * target_words // len(sample.targets)
    return num_words + num_chosen * _WORDS_PER_TEMPLATE


def _num_words(text: str) -> int:
    return max(len(text.split()), len(text.encode()) // _MAX_WORD_BYTES)


def _explicit(sample: Sample, rng: random.Random) -> tuple[Round, ...]:
    users, assistants = sample.turns[0::2], sample.turns[1::2]
    roles = [turn.role for turn in sample.turns]
    if roles != ["user", "assistant"] * len(assistants):
        raise ValueError(
            f"{sample.sample_id}: turns must alternate user, assistant; they are {', '.join(roles)}"
        )
    return tuple(
        Round(
            question=_question(user, sample.task, rng),
            answer=render_grounded(assistant.text or "", assistant.spans),
            seg_targets=tuple(
                span.object_ids for span in assistant.spans if span.kind is not SpanKind.REGION
            ),
            region_ids=tuple(object_id for span in user.spans for object_id in span.object_ids),
        )
        for user, assistant in zip(users, assistants, strict=True)
    )


def _question(turn: Turn, task: Task, rng: random.Random) -> str:
    if turn.text is None:
        return rng.choice(_QUESTIONS[task])
    return render_grounded(turn.text, turn.spans)


def _choose(targets: tuple[Target, ...], limit: int, rng: random.Random) -> list[Target]:
    return rng.sample(targets, min(limit, len(targets)))


def _segmentation_round(target: Target, rng: random.Random) -> Round:
    return Round(
        question=rng.choice(SEGMENTATION_QUESTIONS).format(
            thing=escape_reserved_tokens(target.text.lower())
        ),
        answer=rng.choice(SEGMENTATION_ANSWERS),
        seg_targets=(target.object_ids,),
    )


def _region_round(target: Target, number: int, rng: random.Random) -> Round:
    if len(target.object_ids) != 1:
        raise ValueError(
            f"a region has exactly one box, '{target.text}' has {len(target.object_ids)}"
        )
    return Round(
        question=rng.choice(REGION_QUESTIONS).format(region=f"region{number} {BOX}"),
        answer=escape_reserved_tokens(target.text),
        region_ids=target.object_ids,
    )
