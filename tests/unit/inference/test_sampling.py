import torch
from hypothesis import given
from hypothesis import strategies as st

from glamm.inference.sampling import choose_token

LOGITS = torch.tensor([0.0, 3.0, 1.0, 2.0, -5.0])


def sample(count=400, **options):
    generator = torch.Generator().manual_seed(0)
    return [choose_token(LOGITS, generator=generator, **options) for _ in range(count)]


def test_zero_temperature_takes_the_most_probable_token():
    assert set(sample(5, temperature=0.0, top_p=1.0)) == {1}


def test_low_temperature_is_nearly_greedy():
    assert sample(temperature=0.2, top_p=1.0).count(1) > 390


def test_frequencies_are_the_probabilities():
    tokens = sample(4000, temperature=1.0, top_p=1.0)
    for token, probability in enumerate(LOGITS.softmax(0).tolist()):
        assert abs(tokens.count(token) / 4000 - probability) < 0.03


@given(top_p=st.floats(0.01, 1.0))
def test_tokens_outside_the_nucleus_are_never_sampled(top_p):
    ranked = LOGITS.softmax(0).sort(descending=True)
    nucleus, reached = set(), 0.0
    for probability, token in zip(ranked.values.tolist(), ranked.indices.tolist(), strict=True):
        if reached < top_p:
            nucleus.add(token)
        reached += probability
    assert set(sample(60, temperature=1.0, top_p=top_p)) <= nucleus
