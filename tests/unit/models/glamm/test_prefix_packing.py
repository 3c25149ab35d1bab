"""Packing shares the computation of common prefixes and changes nothing else."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from glamm.models.glamm.prefix_packing import find_shared_prefixes
from tests.builders.models import BBOX, SEG, build_batch, build_model

REGION = 99


def pack(conversations: list[list[int]], images: list[int]):
    length = max(map(len, conversations))
    ids = torch.tensor([tokens + [0] * (length - len(tokens)) for tokens in conversations])
    is_token = torch.arange(length) < torch.tensor([[len(tokens)] for tokens in conversations])
    return find_shared_prefixes(
        ids, is_token, torch.tensor(images), region_token_id=REGION
    ), is_token


def test_one_conversation_per_image_is_not_packed():
    assert pack([[1, 2, 3], [1, 2, 4]], [0, 1])[0] is None


def test_conversations_without_a_common_prefix_are_not_packed():
    assert pack([[1, 2, 3], [2, 2, 4]], [0, 0])[0] is None


def test_conversations_about_one_image_become_one_sequence_with_branches():
    packed, _ = pack([[1, 2, 3, 4], [1, 2, 5]], [0, 0])

    assert packed.positions.tolist() == [[0, 1, 2, 3, 2]]
    assert packed.source.tolist() == [[0, 1, 2, 3, 6]]
    assert packed.target.tolist() == [[0, 1, 2, 3], [0, 1, 4, 0]]
    assert packed.attention_mask[0, 0].int().tolist() == [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0],
        [1, 1, 1, 1, 0],
        [1, 1, 0, 0, 1],
    ]


def test_prefix_ends_before_a_region():
    packed, _ = pack([[1, 2, REGION, 4], [1, 2, REGION, 4]], [0, 0])

    assert packed.positions.tolist() == [[0, 1, 2, 3, 2, 3]]


@given(
    conversations=st.lists(
        st.tuples(st.integers(0, 2), st.lists(st.integers(1, 3), min_size=1, max_size=6)),
        min_size=1,
        max_size=6,
    )
)
def test_unpack_is_inverse_of_pack_on_tokens(conversations):
    conversations = sorted(conversations, key=lambda conversation: conversation[0])
    packed, is_token = pack(
        [ids for _, ids in conversations], [image for image, _ in conversations]
    )
    if packed is None:
        return

    # token and position identify a slot: a prefix is the same in all conversations of an image
    length = is_token.shape[1]
    ids = torch.tensor([ids + [0] * (length - len(ids)) for _, ids in conversations])
    values = torch.stack([ids, torch.arange(length).expand_as(ids)], dim=2).float()
    assert packed.unpack(packed.pack(values))[is_token].equal(values[is_token])
    assert packed.source.numel() < is_token.numel()


@pytest.mark.parametrize("has_boxes", [False, True], ids=["masks", "masks and boxes"])
def test_packing_keeps_losses_and_gradients(monkeypatch, has_boxes):
    first = [BBOX, 7, 9, SEG, 2] if has_boxes else [7, 9, SEG, 2]
    conversations = [first, [8, SEG, 5, SEG, 2], [7, SEG, 2], [7, 4, 4, 4, SEG, 2]]
    batch = build_batch(
        conversations,
        image_index=[0, 0, 1, 1],
        num_masks=[3, 2],
        boxes={0: [[0.1, 0.1, 0.9, 0.9]]} if has_boxes else None,
    )
    model = build_model()
    results = []
    for is_packed in (True, False):
        if not is_packed:
            monkeypatch.setattr(
                "glamm.models.glamm.model.find_shared_prefixes", lambda *_, **__: None
            )
        model.zero_grad()
        output = model(batch)
        output.loss.backward()
        results.append(
            (output, {n: p.grad for n, p in model.named_parameters() if p.grad is not None})
        )

    (packed, gradients), (unpacked, expected) = results
    torch.testing.assert_close(packed.loss, unpacked.loss)
    for masks, expected_masks in zip(packed.mask_logits, unpacked.mask_logits, strict=True):
        torch.testing.assert_close(masks, expected_masks, atol=1e-5, rtol=1e-5)
    assert gradients.keys() == expected.keys()
    largest = max(value.abs().max() for value in expected.values())
    for name, value in expected.items():
        torch.testing.assert_close(gradients[name], value, atol=1e-5 * largest, rtol=1e-3)
