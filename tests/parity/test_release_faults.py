"""Inputs that the release loses or mixes up: here they are used, or refused with the numbers that differ."""

from dataclasses import replace

import pytest
import torch

from glamm.errors import DataError
from glamm.models.glamm import GLaMM
from glamm.structures.batch import Batch
from glamm.structures.ids import IMAGE_PLACEHOLDER_ID
from glamm.text.templates import RELEASE_GCG_QUESTION
from tests.builders.models import BBOX, CONFIG, SEG, build_batch, build_model

FIRST, SECOND = [0.1, 0.1, 0.5, 0.6], [0.3, 0.2, 1.0, 0.9]
UNKNOWN = CONFIG.special_tokens.pad


@torch.no_grad()
def _states(model: GLaMM, batch: Batch) -> torch.Tensor:
    return model.run_language_model(
        model.build_inputs(batch, model.encode_image(batch.global_pixels))
    )


def test_two_conversations_about_one_image_have_their_own_boxes() -> None:
    model = build_model()
    conversations = [[7, BBOX, 8, BBOX, 2], [9, BBOX, 10, 11, 2]]
    boxes = {0: [FIRST, SECOND], 1: [SECOND]}

    together = _states(model, build_batch(conversations, image_index=[0, 0], boxes=boxes))

    for index, ids in enumerate(conversations):
        separate = build_batch([ids], image_index=[0], boxes={0: boxes[index]})
        assert torch.allclose(together[index], _states(model, separate)[0], atol=1e-5)


def test_boxes_are_assigned_to_their_tokens_in_order() -> None:
    model = build_model()
    states, swapped = (
        _states(model, build_batch([[BBOX, 7, BBOX, 2]], image_index=[0], boxes={0: boxes}))
        for boxes in ([FIRST, SECOND], [SECOND, FIRST])
    )

    assert not torch.allclose(states[0, -4], swapped[0, -4], atol=1e-4)


def test_boxes_of_one_conversation_are_not_used_for_another() -> None:
    batch = build_batch(
        [[BBOX, 7, 2], [BBOX, 8, 2]], image_index=[0, 0], boxes={0: [FIRST, SECOND]}
    )

    with pytest.raises(DataError, match="record toy/0: 1 <bbox> tokens and 2 boxes"):
        build_model()(batch)


def test_a_second_image_in_a_conversation_is_refused() -> None:
    batch = build_batch([[7, IMAGE_PLACEHOLDER_ID, 8, 2]], image_index=[0])

    with pytest.raises(DataError, match="record toy/0: 2 image placeholders"):
        build_model()(batch)


def test_unknown_token_in_a_text_is_read_although_it_is_the_padding_token() -> None:
    model = build_model()
    batch = build_batch([[7, UNKNOWN, 8, 2], [7, 8, 2]], image_index=[0, 0])
    position = batch.input_ids[0].tolist().index(UNKNOWN)
    attention_mask = batch.attention_mask.clone()
    attention_mask[0, position] = False

    read = _states(model, batch)
    masked = _states(model, replace(batch, attention_mask=attention_mask))

    assert batch.attention_mask[0].all()
    assert batch.attention_mask[1].sum() == 5
    assert not torch.allclose(read[0, -1], masked[0, -1], atol=1e-4)


def test_masks_of_every_conversation_about_an_image_are_kept() -> None:
    batch = build_batch([[7, SEG, 2], [8, SEG, 9, SEG, 2]], image_index=[0, 0], num_masks=[3])

    assert [len(masks) for masks in build_model()(batch).mask_logits] == [3]


def test_benchmark_question_has_the_spaces_of_the_release() -> None:
    assert "interleaved     segmentation" in RELEASE_GCG_QUESTION
