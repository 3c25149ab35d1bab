import pytest
import torch
from segment_anything.modeling.image_encoder import Attention as SamAttention

from glamm.models.sam import attention
from glamm.models.sam.attention import ChunkedAttention
from tests.builders.memory import allocations


def original(size, *, dtype=torch.float32):
    torch.manual_seed(0)
    built = SamAttention(64, num_heads=8, use_rel_pos=True, input_size=size)
    torch.nn.init.normal_(built.rel_pos_h)
    torch.nn.init.normal_(built.rel_pos_w)
    return built.to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("heads_at_once", [1, 3, 8, 100])
@pytest.mark.parametrize(
    ("windows", "size"),
    [(1, (12, 12)), (5, (7, 7)), (2, (6, 9))],
    ids=["global", "local", "uneven"],
)
def test_result_is_that_of_segment_anything(monkeypatch, dtype, heads_at_once, windows, size):
    sam = original(size, dtype=dtype)
    states = torch.randn(windows, *size, 64, dtype=dtype)
    positions = size[0] * size[1]
    monkeypatch.setattr(
        attention, "_MOST_BYTES", heads_at_once * positions**2 * states.element_size()
    )

    with torch.no_grad():
        mixed, expected = ChunkedAttention(sam)(states), sam(states)

    if heads_at_once == 100:
        assert torch.equal(mixed, expected)
    torch.testing.assert_close(mixed, expected)


def test_gradients_are_those_of_segment_anything(monkeypatch):
    monkeypatch.setattr(attention, "_MOST_BYTES", 1)
    states = torch.randn(2, 5, 5, 64)
    gradients = []
    for module in (original((5, 5)), ChunkedAttention(original((5, 5)))):
        module(states).square().sum().backward()
        gradients.append({name: value.grad for name, value in module.named_parameters()})

    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient)


def test_memory_is_that_of_a_few_heads(monkeypatch):
    sam, states = original((32, 32)), torch.randn(1, 32, 32, 64)
    scores = 1024**2 * 4  # of one head
    monkeypatch.setattr(attention, "_MOST_BYTES", scores)

    with torch.no_grad(), allocations() as whole:
        sam(states)
    with torch.no_grad(), allocations() as chunked:
        ChunkedAttention(sam)(states)

    assert whole.peak > 16 * scores
    assert chunked.peak < 5 * scores
