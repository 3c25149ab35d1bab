import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glamm.evaluation.metrics.average_precision import (
    coco_stats_compat,
    coco_stats_fixed,
    count_detections,
)
from tests.builders.gcg import block, pair

LEFT, RIGHT, WRONG = block(0, 0, 4, 4), block(4, 6, 4, 4), block(0, 5, 2, 2)
TRUTHS = [LEFT, RIGHT]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ([LEFT, WRONG], [LEFT, WRONG], 0.4224),
        ([WRONG, LEFT], [WRONG, LEFT], 0.2525),
        ([LEFT, RIGHT], [WRONG, WRONG], 0.5050),
        ([WRONG, WRONG], [LEFT, RIGHT], 0.2525),
    ],
    ids=["hit_first", "miss_first", "first_image", "second_image"],
)
def test_compat_depends_on_order_as_the_release(
    first: list[object], second: list[object], expected: float
) -> None:
    pairs = [pair(TRUTHS, first, name="0"), pair(TRUTHS, second, name="1")]

    assert coco_stats_compat(pairs)["AP50"] == pytest.approx(expected, abs=5e-5)
    # One point of the curve: precision 1/2 at recall 1/2, which 51 of the 101 points reach.
    assert coco_stats_fixed(pairs)["AP50"] == pytest.approx(0.5 * 51 / 101)


def test_fixed_uses_the_models_confidences() -> None:
    right = [pair([LEFT], [LEFT, WRONG], scores=[0.9, 0.1])]
    wrong = [pair([LEFT], [LEFT, WRONG], scores=[0.1, 0.9])]

    assert coco_stats_fixed(right)["AP50"] == pytest.approx(1.0)
    assert coco_stats_fixed(wrong)["AP50"] == pytest.approx(0.5)


def test_fixed_equals_coco_when_all_confidences_differ() -> None:
    """The curve equals COCO's when no two detections have the same score: each is a point of its own."""
    pairs = [
        pair([LEFT], [LEFT], name="0", scores=[0.8]),
        pair([RIGHT], [WRONG], name="1", scores=[0.7]),
        pair([LEFT], [LEFT], name="2", scores=[0.6]),
    ]

    # The release orders them by name, which is also the order of their scores here.
    assert coco_stats_fixed(pairs) == pytest.approx(coco_stats_compat(pairs))


def test_nothing_predicted_gives_zero_and_nothing_annotated_minus_one() -> None:
    assert coco_stats_compat([pair(TRUTHS, [])])["AP"] == 0.0
    assert coco_stats_fixed([pair(TRUTHS, [])])["AP"] == 0.0
    assert coco_stats_compat([pair([], [LEFT])])["AP"] == -1.0
    assert coco_stats_fixed([pair([], [LEFT])])["AP"] == -1.0


@settings(max_examples=25)
@given(
    st.lists(st.sampled_from([LEFT, RIGHT, WRONG]), max_size=4),
    st.lists(st.sampled_from([LEFT, RIGHT, WRONG]), max_size=4),
)
def test_fixed_is_invariant_under_permutation_and_renaming(
    first: list[object], second: list[object]
) -> None:
    original = coco_stats_fixed([pair(TRUTHS, first, name="0"), pair(TRUTHS, second, name="1")])
    permuted = coco_stats_fixed(
        [pair(TRUTHS[::-1], second[::-1], name="0"), pair(TRUTHS, first[::-1], name="1")]
    )

    assert original == pytest.approx(permuted)
    assert all(value == -1 or 0 <= value <= 1 for value in original.values())


def test_counts_of_detections_find_the_most_pairs() -> None:
    """Greedy pairing would take the 0.9 and leave no pair for the other masks."""
    counts = count_detections([np.array([[0.9, 0.6], [0.6, 0.0]]), np.zeros((0, 1))])

    assert (counts.hits, counts.num_predicted, counts.num_annotated) == (2, 2, 3)
    assert counts.f1 == pytest.approx(0.8)
    assert counts.precision == 1.0
