import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from glamm.evaluation.metrics.mask_iou import (
    image_miou_compat,
    image_miou_fixed,
    mean_or_zero,
    overlaps,
)
from glamm.geometry.masks import encode
from tests.builders.gcg import block

OVERLAPS = st.tuples(st.integers(0, 4), st.integers(0, 4)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=st.floats(0, 1))
)
STACKS = st.tuples(st.integers(0, 3), st.integers(0, 3)).flatmap(
    lambda counts: st.tuples(*(arrays(np.bool_, (count, 5, 7)) for count in counts))
)


@given(STACKS)
def test_overlaps_equal_those_of_pixels_to_the_last_bit(
    stacks: tuple[np.ndarray, np.ndarray],
) -> None:
    first, second = stacks
    found = overlaps([encode(mask) for mask in first], [encode(mask) for mask in second])

    with np.errstate(invalid="ignore"):
        dense = np.array(
            [[np.sum(mask & truth) / np.sum(mask | truth) for truth in second] for mask in first]
        ).reshape(len(first), len(second))
    np.testing.assert_array_equal(found, dense)


def test_masks_of_different_sizes_overlap_nothing() -> None:
    found = overlaps([block(0, 0, 2, 2, size=(4, 4))], [block(0, 0, 2, 2)])

    assert found.tolist() == [[0.0]]


@pytest.mark.parametrize(
    ("iou", "expected"),
    [
        ([[0.9, 0, 0], [0, 0, 0]], 0.9),
        ([[0.9, 0.8], [0.85, 0]], 0.9),
        ([[0, 0]], 0.0),
        ([[np.nan, 0], [0, 0.9]], 0.0),
    ],
    ids=["one_pair", "greedy_not_optimal", "nothing", "two_empty_masks"],
)
def test_compat_takes_pairs_greedily(iou: list[list[float]], expected: float) -> None:
    assert image_miou_compat(np.array(iou, dtype=float)) == expected


def test_fixed_charges_an_annotated_mask_without_a_prediction() -> None:
    iou = np.array([[0.9, 0.0, 0.0]])

    assert image_miou_compat(iou) == 0.9
    assert image_miou_fixed(iou) == pytest.approx(0.3)


def test_fixed_counts_two_empty_masks_as_equal() -> None:
    assert image_miou_fixed(np.array([[np.nan, 0.0], [0.0, 0.5]])) == 0.75


def test_fixed_is_undefined_without_annotated_masks() -> None:
    assert image_miou_fixed(np.zeros((2, 0))) is None
    assert mean_or_zero([None, 0.5]) == 0.5
    assert mean_or_zero([None]) == 0.0


@given(OVERLAPS, st.randoms(use_true_random=False))
def test_miou_is_bounded_and_fixed_is_invariant_under_permutation(
    iou: np.ndarray, random: object
) -> None:
    rows = np.random.default_rng(0).permutation(iou.shape[0])
    columns = np.random.default_rng(1).permutation(iou.shape[1])

    fixed = image_miou_fixed(iou)

    assert 0 <= image_miou_compat(iou) <= 1
    assert fixed is None or 0 <= fixed <= 1
    assert image_miou_fixed(iou[rows][:, columns]) == pytest.approx(fixed, abs=1e-12)
