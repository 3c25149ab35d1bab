import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from glamm.evaluation.metrics.recall import match_compat, match_fixed

SQUARES = st.tuples(st.integers(0, 4), st.integers(0, 4)).flatmap(
    lambda shape: st.tuples(
        arrays(np.float64, shape, elements=st.sampled_from([0.0, 0.3, 0.5, 0.7, 0.7, 1.0])),
        arrays(np.float32, shape, elements=st.sampled_from([0.2, 0.5, 0.9])),
    )
)


def test_compat_stops_at_the_first_pair_that_fails_and_fixed_goes_on() -> None:
    iou = np.array([[0.95, 0.1, 0.0], [0.0, 0.8, 0.1], [0.0, 0.2, 0.7]])
    similarity = np.full((3, 3), 0.9, dtype=np.float32)
    similarity[0, 0] = 0.3

    assert match_compat(iou, similarity).pairs == ()
    assert match_fixed(iou, similarity).pairs == ((1, 1), (2, 2))


@pytest.mark.parametrize("match", [match_compat, match_fixed], ids=["compat", "fixed"])
def test_exactly_half_passes(match: type[object]) -> None:
    assert match(np.array([[0.5]]), np.array([[0.5]])).pairs == ((0, 0),)


@pytest.mark.parametrize("match", [match_compat, match_fixed], ids=["compat", "fixed"])
def test_just_below_half_fails(match: type[object]) -> None:
    below = np.nextafter(0.5, 0)

    assert match(np.array([[below]]), np.array([[1.0]])).pairs == ()
    assert match(np.array([[1.0]]), np.array([[below]])).pairs == ()


def test_compat_takes_two_empty_masks_first() -> None:
    iou = np.array([[0.9, 0.0], [0.0, np.nan]])
    similar, different = np.ones((2, 2)), np.eye(2)[::-1].copy()

    assert match_compat(iou, similar).pairs == ((1, 1), (0, 0))
    assert match_compat(iou, different).pairs == ()


def test_mask_without_a_phrase_costs_compat_the_image_and_fixed_one_match() -> None:
    iou = np.array([[0.8, 0.0], [0.0, 0.9]])
    one_phrase = np.ones((2, 1))

    compat = match_compat(iou, one_phrase)

    assert compat.pairs == ()
    assert compat.fault == "mask 1 has no phrase; nothing of the image counts"
    assert match_fixed(iou, one_phrase).pairs == ((0, 0),)


def test_missing_phrase_that_is_never_reached_costs_nothing() -> None:
    iou = np.array([[0.8, 0.2]])

    assert match_compat(iou, np.ones((1, 1))).pairs == ((0, 0),)


@given(SQUARES)
def test_fixed_hits_are_invariant_under_permutation(
    matrices: tuple[np.ndarray, np.ndarray],
) -> None:
    iou, similarity = matrices
    rows = np.random.default_rng(0).permutation(iou.shape[0])
    columns = np.random.default_rng(1).permutation(iou.shape[1])

    hits = len(match_fixed(iou, similarity).pairs)
    shuffled = match_fixed(iou[rows][:, columns], similarity[rows][:, columns])

    assert hits == len(shuffled.pairs) <= min(iou.shape)
