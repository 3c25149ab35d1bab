import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glamm.structures.sample import Target, Turn
from glamm.text import templates
from glamm.text.render import (
    MAX_REGIONS,
    MAX_SEGMENTATION_TARGETS,
    estimate_num_words,
    render_rounds,
)
from tests.builders.data import caption, grounded, referring, regions

SEEDS = st.integers(0, 2**32)


def rng(seed=0):
    return random.Random(seed)  # noqa: S311 - wording


@given(seed=SEEDS, make=st.sampled_from([grounded, referring, regions, caption]))
def test_rounds_have_one_special_token_per_object_list(seed, make):
    for turn in render_rounds(make(), rng(seed)):
        assert turn.answer.count("[SEG]") == len(turn.seg_targets)
        assert turn.question.count("<bbox>") == len(turn.region_ids)
        assert "[SEG]" not in turn.question
        assert "{" not in turn.question


@pytest.mark.parametrize(
    "make", [grounded, referring, regions, caption], ids=lambda make: make.__name__
)
def test_estimated_number_of_words_is_close_to_the_rendered_one(make):
    words = [
        sum(
            len(f"{turn.question} {turn.answer}".split())
            for turn in render_rounds(make(), rng(seed))
        )
        for seed in range(40)
    ]

    assert 0.5 < estimate_num_words(make()) / (sum(words) / len(words)) < 2


@given(seed=SEEDS)
def test_rendering_depends_on_the_seed_alone(seed):
    assert render_rounds(referring(), rng(seed)) == render_rounds(referring(), rng(seed))


@given(seed=SEEDS, number=st.integers(1, 14))
def test_targets_are_chosen_without_repetition(seed, number):
    targets = tuple(Target(f"Thing {index}", (0,)) for index in range(number))

    asked = render_rounds(replace(referring(), targets=targets), rng(seed))
    described = render_rounds(replace(regions(), targets=targets), rng(seed))

    assert len(asked) == min(number, MAX_SEGMENTATION_TARGETS)
    assert len(described) == min(number, MAX_REGIONS)
    assert len({turn.answer for turn in described}) == len(described)
    assert [turn.question.count(f"region{i} <bbox>") for i, turn in enumerate(described, 1)] == [
        1
    ] * len(described)


def test_grounded_caption_keeps_its_objects_in_order():
    [turn] = render_rounds(grounded(), rng())

    assert turn.answer == "<p> A cube </p> [SEG] by <p> two balls </p> [SEG]."
    assert turn.seg_targets == ((0,), (1, 5))
    assert turn.question in templates.GROUNDED_CONVERSATION_QUESTIONS


def test_templates_are_as_many_as_in_the_release():
    assert len(templates.GROUNDED_CONVERSATION_QUESTIONS) == 6
    assert len(templates.SEGMENTATION_QUESTIONS) == 16
    assert len(templates.SEGMENTATION_ANSWERS) == 5
    assert len(templates.REGION_QUESTIONS) == 20
    assert len(templates.CAPTION_QUESTIONS) == 17
    assert all(answer.count("[SEG]") == 1 for answer in templates.SEGMENTATION_ANSWERS)


def test_expression_with_braces_is_not_formatted():
    sample = replace(referring(), targets=(Target("a {thing} {0}", (0,)),))

    [turn] = render_rounds(sample, rng())

    assert "a {thing} {0}" in turn.question


@pytest.mark.parametrize(
    ("turns", "targets", "message"),
    [
        ((), (), "neither turns nor targets"),
        ((Turn("assistant", "no"),), (), "must alternate"),
        ((Turn("user", None),), (), "must alternate"),
    ],
    ids=["nothing", "no question", "no answer"],
)
def test_sample_without_turns_or_targets_is_refused(turns, targets, message):
    with pytest.raises(ValueError, match=message):
        render_rounds(replace(grounded(), turns=turns, targets=targets), rng())


def test_region_of_several_boxes_is_refused():
    with pytest.raises(ValueError, match="exactly one box"):
        render_rounds(replace(regions(), targets=(Target("both", (0, 1)),)), rng())
