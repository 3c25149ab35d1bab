"""Products of a few rows: another way to the same numbers."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from glamm.inference import onednn_linear
from glamm.inference.onednn_linear import OneDnnLinear


@given(rows=st.integers(1, 70), has_bias=st.booleans(), seed=st.integers(0, 99))
def test_same_numbers(rows, has_bias, seed):
    torch.manual_seed(seed)
    weight, inputs = torch.randn(24, 16), torch.randn(rows, 1, 16)
    bias = torch.randn(24) if has_bias else None

    with OneDnnLinear():
        found = functional.linear(inputs, weight, bias)

    torch.testing.assert_close(found, functional.linear(inputs, weight, bias), rtol=1e-4, atol=1e-4)


def test_one_copy_a_weight_however_often_it_is_met():
    weight, few = torch.randn(24, 16), OneDnnLinear()

    with few:
        for rows in (16, 2, 7):
            functional.linear(torch.randn(rows, 16), weight)

    assert few.packed_bytes == weight.nbytes


def test_without_room_for_a_copy_the_numbers_stay(monkeypatch):
    monkeypatch.setattr(onednn_linear, "_MAX_PACKED_BYTES", 100)
    weight, inputs, few = torch.randn(24, 16), torch.randn(4, 16), OneDnnLinear()

    with few:
        found = functional.linear(inputs, weight)

    assert few.packed_bytes == 0
    torch.testing.assert_close(found, functional.linear(inputs, weight), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_numbers_go_the_usual_way(dtype):
    weight, inputs, few = (
        torch.randn(24, 16).to(dtype),
        torch.randn(4, 16).to(dtype),
        OneDnnLinear(),
    )

    with few:
        found = functional.linear(inputs, weight)

    assert few.packed_bytes == 0
    assert torch.equal(found, functional.linear(inputs, weight))
