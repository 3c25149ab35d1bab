"""What rows about one image begin with is read once, and nothing else changes."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from glamm.models.glamm.prefix_packing import find_shared_prefixes
from tests.builders.models import BBOX, SEG, build_batch, build_model

OWN = 99


def shared_starts(rows: list[list[int]], images: list[int]):
    length = max(map(len, rows))
    ids = torch.tensor([row + [0] * (length - len(row)) for row in rows])
    is_token = torch.arange(length) < torch.tensor([[len(row)] for row in rows])
    return find_shared_prefixes(ids, is_token, torch.tensor(images), region_token_id=OWN), is_token


def test_one_row_a_image_is_left_as_it_is():
    assert shared_starts([[1, 2, 3], [1, 2, 4]], [0, 1])[0] is None


def test_rows_that_begin_differently_are_left_as_they_are():
    assert shared_starts([[1, 2, 3], [2, 2, 4]], [0, 0])[0] is None


def test_rows_of_a_image_become_one_sequence_with_branches():
    shared, _ = shared_starts([[1, 2, 3, 4], [1, 2, 5]], [0, 0])

    assert shared.positions.tolist() == [[0, 1, 2, 3, 2]]
    assert shared.source.tolist() == [[0, 1, 2, 3, 6]]
    assert shared.target.tolist() == [[0, 1, 2, 3], [0, 1, 4, 0]]
    assert shared.attention_mask[0, 0].int().tolist() == [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0],
        [1, 1, 1, 1, 0],
        [1, 1, 0, 0, 1],
    ]


def test_start_ends_before_something_that_is_another_in_every_row():
    shared, _ = shared_starts([[1, 2, OWN, 4], [1, 2, OWN, 4]], [0, 0])

    assert shared.positions.tolist() == [[0, 1, 2, 3, 2, 3]]


@given(
    rows=st.lists(
        st.tuples(st.integers(0, 2), st.lists(st.integers(1, 3), min_size=1, max_size=6)),
        min_size=1,
        max_size=6,
    )
)
def test_unpack_is_inverse_of_pack_on_tokens(rows):
    rows = sorted(rows, key=lambda row: row[0])
    shared, is_token = shared_starts([ids for _, ids in rows], [image for image, _ in rows])
    if shared is None:
        return

    # what a place is: its position and its token; a start is the same in all rows of an image
    length = is_token.shape[1]
    ids = torch.tensor([ids + [0] * (length - len(ids)) for _, ids in rows])
    values = torch.stack([ids, torch.arange(length).expand_as(ids)], dim=2).float()
    assert shared.unpack(shared.pack(values))[is_token].equal(values[is_token])
    assert shared.source.numel() < is_token.numel()


@pytest.mark.parametrize("has_boxes", [False, True], ids=["masks", "masks and boxes"])
def test_shared_start_gives_the_losses_and_gradients_of_rows_by_themselves(monkeypatch, has_boxes):
    first = [BBOX, 7, 9, SEG, 2] if has_boxes else [7, 9, SEG, 2]
    rows = [first, [8, SEG, 5, SEG, 2], [7, SEG, 2], [7, 4, 4, 4, SEG, 2]]
    batch = build_batch(
        rows,
        image_index=[0, 0, 1, 1],
        num_masks=[3, 2],
        boxes={0: [[0.1, 0.1, 0.9, 0.9]]} if has_boxes else None,
    )
    model = build_model()
    found = []
    for is_shared in (True, False):
        if not is_shared:
            monkeypatch.setattr(
                "glamm.models.glamm.model.find_shared_prefixes", lambda *_, **__: None
            )
        model.zero_grad()
        output = model(batch)
        output.loss.backward()
        found.append(
            (output, {n: p.grad for n, p in model.named_parameters() if p.grad is not None})
        )

    (shared, gradients), (alone, expected) = found
    torch.testing.assert_close(shared.loss, alone.loss)
    for ours, theirs in zip(shared.mask_logits, alone.mask_logits, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    assert gradients.keys() == expected.keys()
    largest = max(value.abs().max() for value in expected.values())
    for name, value in expected.items():
        torch.testing.assert_close(gradients[name], value, atol=1e-5 * largest, rtol=1e-3)
