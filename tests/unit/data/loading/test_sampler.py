import tracemalloc
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glamm.config.data import MixtureConfig
from glamm.data.loading.sampler import Mixture, WeightedRoundRobin, feistel_permutation
from glamm.data.shards.reader import Stream
from glamm.errors import ConfigError


def stream(group, dataset, size):
    words = np.arange(size) * 37 % 101
    return Stream(group, dataset, np.stack([words * 0, words * 0, words], axis=1))


STREAMS = (
    stream("grounded_conversation", "grand", 30),
    stream("grounded_conversation", "granddf_ha_gcg", 10),
    stream("referring_segmentation", "grand", 7),
    stream("image_captioning", "grand", 5),
)


def mixture(seed=0, samples_per_step=4, length_bucket_steps=1, **config):
    return Mixture(
        STREAMS,
        MixtureConfig(**{"dataset_weights": {}} | config),
        seed=seed,
        samples_per_step=samples_per_step,
        length_bucket_steps=length_bucket_steps,
    )


@pytest.mark.slow
@given(size=st.integers(1, 3000), key=st.text(max_size=4))
def test_feistel_permutation_is_a_permutation(size, key):
    values = [feistel_permutation(index, size, key=key) for index in range(size)]

    assert sorted(values) == list(range(size))


def test_feistel_permutation_differs_by_key_and_scatters():
    first = [feistel_permutation(index, 1000, key="a") for index in range(1000)]
    second = [feistel_permutation(index, 1000, key="b") for index in range(1000)]

    # Standard deviation of a correlation of 1000 random pairs: 0.03
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.1
    assert abs(np.corrcoef(first, range(1000))[0, 1]) < 0.1


def test_permutation_of_ten_million_samples_takes_no_memory():
    tracemalloc.start()
    try:
        feistel_permutation(9_999_999, 10_000_000, key="x")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 10_000  # a list of the order would take 80 MB


@given(weights=st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=12), cycle=st.integers(0, 5))
def test_every_thousand_turns_are_distributed_by_weight(weights, cycle):
    round_robin = WeightedRoundRobin(weights, key="k")

    counts = Counter(round_robin.at(turn)[0] for turn in range(cycle * 1000, (cycle + 1) * 1000))

    for index, weight in enumerate(weights):
        exact = 1000 * weight / sum(weights)
        assert counts[index] >= 1
        assert abs(counts[index] - exact) <= len(weights)


def test_round_robin_counts_the_turns_before():
    round_robin = WeightedRoundRobin([3.0, 1.0], key="k")
    expected = Counter()

    for turn in range(2500):
        index, count = round_robin.at(turn)
        assert count == expected[index]
        expected[index] += 1


def test_step_has_one_task_group():
    plans = [mixture().at(step) for step in range(200)]

    for plan in plans:
        assert {STREAMS[draw.stream].group for draw in plan.draws} == {plan.group}
    assert len({plan.group for plan in plans}) == 3


def test_every_sample_comes_once_an_epoch():
    only = {"referring_segmentation": 0.0, "region_captioning": 0.0, "image_captioning": 0.0}
    plans = mixture(samples_per_step=5, grounded_conversation=1.0, **only)

    draws = [draw for step in range(240) for draw in plans.at(step).draws]

    seen = Counter((draw.stream, draw.epoch, draw.index) for draw in draws)
    assert set(seen.values()) == {1}
    assert {(0, 3, index) for index in range(30)} <= set(seen)


@pytest.mark.parametrize("length_bucket_steps", [1, 8], ids=["one_step", "eight_steps"])
def test_plan_depends_on_nothing_but_seed_and_step(length_bucket_steps):
    forward = [mixture(length_bucket_steps=length_bucket_steps).at(step) for step in range(50)]
    same = mixture(length_bucket_steps=length_bucket_steps)
    backward = [same.at(step) for step in reversed(range(50))]

    assert forward == backward[::-1]
    assert forward != [
        mixture(seed=1, length_bucket_steps=length_bucket_steps).at(step) for step in range(50)
    ]


@given(samples=st.integers(1, 20), bucket=st.integers(1, 9))
def test_length_bucket_redistributes_the_same_samples(samples, bucket):
    only = {"referring_segmentation": 0.0, "region_captioning": 0.0, "image_captioning": 0.0}
    drawn, redistributed = (
        [plans.at(step).draws for step in range(3 * bucket)]
        for plans in (
            mixture(samples_per_step=samples, **only),
            mixture(samples_per_step=samples, length_bucket_steps=bucket, **only),
        )
    )

    for first in range(0, 3 * bucket, bucket):
        steps = slice(first, first + bucket)
        assert Counter(sum(drawn[steps], ())) == Counter(sum(redistributed[steps], ()))
        lengths = sorted(
            [int(STREAMS[draw.stream].entries[draw.index, 2]) for draw in step]
            for step in redistributed[steps]
        )
        assert all(of_step == sorted(of_step) for of_step in lengths)
        assert all(shorter[-1] <= longer[0] for shorter, longer in pairwise(lengths))


def test_weights_choose_among_data_sets():
    plans = mixture(dataset_weights={"granddf_ha_gcg": 90.0, "grand": 30.0})

    drawn = Counter(
        STREAMS[draw.stream].dataset
        for step in range(2000)
        if (plan := plans.at(step)).group == "grounded_conversation"
        for draw in plan.draws
    )

    assert drawn["granddf_ha_gcg"] / drawn.total() == pytest.approx(0.75, abs=0.01)


def test_data_set_of_weight_zero_is_left_out():
    plans = mixture(dataset_weights={"grand": 0.0})

    assert {
        STREAMS[draw.stream].dataset for step in range(100) for draw in plans.at(step).draws
    } == {"granddf_ha_gcg"}


def test_weight_of_a_data_set_that_is_not_there_is_logged_and_changes_nothing(caplog):
    plans = mixture(dataset_weights={"refcoco": 1.0})

    assert [plans.at(step) for step in range(20)] == [mixture().at(step) for step in range(20)]
    assert "the shards do not hold refcoco" in caplog.text


def test_mixture_without_any_sample_is_refused():
    with pytest.raises(
        ConfigError, match=r"the shards hold grounded_conversation, .* none of it has a weight"
    ):
        mixture(
            grounded_conversation=0.0,
            referring_segmentation=0.0,
            region_captioning=1.0,
            image_captioning=0.0,
        )
    with pytest.raises(ValueError, match="every task group has weight 0"):
        MixtureConfig(
            grounded_conversation=0,
            referring_segmentation=0,
            region_captioning=0,
            image_captioning=0,
        )
