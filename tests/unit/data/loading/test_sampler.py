from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glamm.config.data import MixtureConfig
from glamm.data.loading.sampler import Mixture, Rota, shuffled
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
        MixtureConfig(**config),
        seed=seed,
        samples_per_step=samples_per_step,
        length_bucket_steps=length_bucket_steps,
    )


@given(size=st.integers(1, 3000), key=st.text(max_size=4))
def test_shuffled_is_a_permutation(size, key):
    assert sorted(shuffled(place, size, key=key) for place in range(size)) == list(range(size))


def test_shuffled_differs_by_key_and_scatters():
    one = [shuffled(place, 1000, key="a") for place in range(1000)]
    two = [shuffled(place, 1000, key="b") for place in range(1000)]

    assert abs(np.corrcoef(one, two)[0, 1]) < 0.1
    assert abs(np.corrcoef(one, range(1000))[0, 1]) < 0.1


def test_ten_million_samples_need_no_list():
    assert 0 <= shuffled(9_999_999, 10_000_000, key="x") < 10_000_000


@given(shares=st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=12), block=st.integers(0, 5))
def test_every_thousand_turns_are_given_by_the_shares(shares, block):
    rota = Rota(shares, key="k")

    given_to = Counter(rota.at(turn)[0] for turn in range(block * 1000, (block + 1) * 1000))

    for index, share in enumerate(shares):
        exact = 1000 * share / sum(shares)
        assert given_to[index] >= 1
        assert abs(given_to[index] - exact) <= len(shares)


def test_rota_counts_the_turns_before():
    rota = Rota([3.0, 1.0], key="k")
    before = Counter()

    for turn in range(2500):
        taker, count = rota.at(turn)
        assert count == before[taker]
        before[taker] += 1


def test_step_has_one_kind_of_conversation():
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


@pytest.mark.parametrize("length_bucket_steps", [1, 8])
def test_plan_depends_on_nothing_but_seed_and_step(length_bucket_steps):
    forward = [mixture(length_bucket_steps=length_bucket_steps).at(step) for step in range(50)]
    one = mixture(length_bucket_steps=length_bucket_steps)
    backward = [one.at(step) for step in reversed(range(50))]

    assert forward == backward[::-1]
    assert forward != [
        mixture(seed=1, length_bucket_steps=length_bucket_steps).at(step) for step in range(50)
    ]


@given(samples=st.integers(1, 20), window=st.integers(1, 9))
def test_window_deals_the_same_samples_by_their_length(samples, window):
    only = {"referring_segmentation": 0.0, "region_captioning": 0.0, "image_captioning": 0.0}
    drawn, dealt = (
        [plans.at(step).draws for step in range(3 * window)]
        for plans in (
            mixture(samples_per_step=samples, **only),
            mixture(samples_per_step=samples, length_bucket_steps=window, **only),
        )
    )

    for first in range(0, 3 * window, window):
        steps = slice(first, first + window)
        assert Counter(sum(drawn[steps], ())) == Counter(sum(dealt[steps], ()))
        runs = sorted(
            [int(STREAMS[draw.stream].places[draw.index, 2]) for draw in step]
            for step in dealt[steps]
        )
        assert all(run == sorted(run) for run in runs)
        assert all(one[-1] <= two[0] for one, two in pairwise(runs))


def test_rates_choose_among_data_sets():
    plans = mixture(dataset_weights={"granddf_ha_gcg": 90.0, "grand": 30.0})

    drawn = Counter(
        STREAMS[draw.stream].dataset
        for step in range(2000)
        if (plan := plans.at(step)).group == "grounded_conversation"
        for draw in plan.draws
    )

    assert drawn["granddf_ha_gcg"] / drawn.total() == pytest.approx(0.75, abs=0.01)


def test_data_set_of_rate_nought_is_left_out():
    plans = mixture(dataset_weights={"grand": 0.0})

    assert {
        STREAMS[draw.stream].dataset for step in range(100) for draw in plans.at(step).draws
    } == {"granddf_ha_gcg"}


def test_mixture_of_nothing_is_refused():
    with pytest.raises(
        ConfigError, match=r"the shards hold grounded_conversation, .* none of it has a weight"
    ):
        mixture(
            grounded_conversation=0.0,
            referring_segmentation=0.0,
            region_captioning=1.0,
            image_captioning=0.0,
        )
    with pytest.raises(ConfigError, match="shards do not hold: refcoco"):
        mixture(dataset_weights={"refcoco": 1.0})
    with pytest.raises(ValueError, match="every kind of conversation has weight 0"):
        MixtureConfig(
            grounded_conversation=0,
            referring_segmentation=0,
            region_captioning=0,
            image_captioning=0,
        )
