import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from glamm.lru_cache import ContentCache, num_bytes


def value(num):
    return torch.zeros(num, dtype=torch.uint8)


def test_longest_unused_goes_first():
    cache = ContentCache(max_bytes=10)
    for key in "abc":
        cache.put(key, value(3))
    cache.get("a", torch.Tensor)

    cache.put("d", value(3))

    assert [key for key in "abcd" if cache.get(key, torch.Tensor) is not None] == ["a", "c", "d"]


def test_too_large_a_value_is_not_kept_and_drives_nothing_out():
    cache = ContentCache(max_bytes=10)
    cache.put("a", value(8))

    cache.put("b", value(11))

    assert cache.get("a", torch.Tensor) is not None
    assert cache.get("b", torch.Tensor) is None


def test_another_kind_is_a_mistake():
    cache = ContentCache(max_bytes=10)
    cache.put("a", value(1))

    with pytest.raises(TypeError, match="holds a Tensor, not a tuple"):
        cache.get("a", tuple)


def test_bytes_of_nested_values():
    assert num_bytes((value(3), (value(4), torch.zeros(2)))) == 15


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 12))))
def test_bytes_are_those_of_what_is_kept(puts):
    cache = ContentCache(max_bytes=20)
    for key, size in puts:
        cache.put(key, value(size))

    kept = [cache.get(key, torch.Tensor) for key in range(6)]
    assert cache.num_bytes == sum(len(one) for one in kept if one is not None) <= 20
