"""Linear layers on small batches through oneDNN compute the same numbers."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from glamm.inference.onednn_linear import OneDnnLinear


@given(rows=st.integers(1, 70), has_bias=st.booleans(), seed=st.integers(0, 99))
def test_product_equals_the_default_one(rows, has_bias, seed):
    torch.manual_seed(seed)
    weight, inputs = torch.randn(24, 16), torch.randn(rows, 1, 16)
    bias = torch.randn(24) if has_bias else None

    with OneDnnLinear():
        product = functional.linear(inputs, weight, bias)

    torch.testing.assert_close(
        product, functional.linear(inputs, weight, bias), rtol=1e-4, atol=1e-4
    )


def test_weight_is_copied_once():
    weight, onednn = torch.randn(24, 16), OneDnnLinear()

    with onednn:
        for rows in (16, 2, 7):
            functional.linear(torch.randn(rows, 16), weight)

    assert onednn.packed_bytes == weight.nbytes


def test_weight_beyond_the_memory_limit_is_not_copied():
    weight, inputs = torch.randn(24, 16), torch.randn(4, 16)
    onednn = OneDnnLinear(max_packed_bytes=100)

    with onednn:
        product = functional.linear(inputs, weight)

    assert onednn.packed_bytes == 0
    torch.testing.assert_close(product, functional.linear(inputs, weight), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=["float64", "bfloat16"])
def test_other_types_use_the_default_product(dtype):
    weight, inputs, onednn = (
        torch.randn(24, 16).to(dtype),
        torch.randn(4, 16).to(dtype),
        OneDnnLinear(),
    )

    with onednn:
        product = functional.linear(inputs, weight)

    assert onednn.packed_bytes == 0
    assert torch.equal(product, functional.linear(inputs, weight))
