import json
from dataclasses import replace

import pytest
import torch

from glamm.config.model import ModelConfig
from glamm.errors import DataError
from glamm.models.glamm import GLaMM
from glamm.models.language.lora import add_lora, merge_lora
from tests.builders.models import (
    BBOX,
    CONFIG,
    GOLDENS,
    IMAGE_SIZES,
    SEG,
    build_batch,
    build_model,
)

GCG = [[7, SEG, 8, SEG, 2], [9, 2], [10, SEG, 2]]
BOXES = {0: [[0.1, 0.1, 0.5, 0.6], [0.0, 0.2, 1.0, 0.9]], 1: [[0.3, 0.3, 0.8, 0.8]]}


def test_forward_returns_masks_at_the_size_of_each_image() -> None:
    model = build_model()

    output = model(build_batch(GCG, image_index=[0, 0, 1], num_masks=[2, 1]))

    shapes = [masks.shape for masks in output.mask_logits]
    assert shapes == [(2, *IMAGE_SIZES[0]), (1, *IMAGE_SIZES[1])]
    weights = CONFIG.losses
    assert output.loss.item() == pytest.approx(
        output.ce_loss.item()
        + weights.bce_weight * output.bce_loss.item()
        + weights.dice_weight * output.dice_loss.item()
    )


def test_batch_without_grounding_has_no_mask_loss() -> None:
    model = build_model()

    output = model(build_batch([[7, 8, 2]], image_index=[0]))

    assert output.mask_logits == ()
    assert output.loss.item() == output.ce_loss.item()
    assert (output.bce_loss.item(), output.dice_loss.item()) == (0.0, 0.0)


@pytest.mark.parametrize("masks", [1, 3], ids=["too few", "too many"])
def test_forward_rejects_another_number_of_masks(masks: int) -> None:
    model = build_model()
    batch = build_batch(GCG, image_index=[0, 0, 1], num_masks=[masks, 1])

    with pytest.raises(
        DataError, match=rf"record toy/0, toy/1: 2 \[SEG\] tokens and {masks} masks"
    ):
        model(batch)


def test_forward_rejects_seg_tokens_without_grounding_pixels() -> None:
    model = build_model()

    with pytest.raises(DataError, match=r"record toy/0: 1 \[SEG\] tokens and 0 masks"):
        model(build_batch([[7, SEG, 2]], image_index=[0]))


def test_forward_rejects_masks_of_another_size() -> None:
    model = build_model()
    batch = build_batch([[7, SEG, 2]], image_index=[0], num_masks=[1])
    masks = (torch.zeros(1, 80, 60, dtype=torch.bool),)

    with pytest.raises(DataError, match="record toy/0: masks of 80 x 60 for an image of 60 x 80"):
        model(replace(batch, masks=masks))


def test_surplus_masks_are_dropped_only_in_compatibility_mode() -> None:
    compat = CONFIG.compat.model_copy(update={"drops_surplus_masks": True})
    model = build_model(CONFIG.model_copy(update={"compat": compat}))

    output = model(build_batch(GCG, image_index=[0, 0, 1], num_masks=[3, 1]))

    assert [len(masks) for masks in output.mask_logits] == [2, 1]


@pytest.mark.parametrize("boxes", [{}, BOXES], ids=["too few", "too many"])
def test_forward_rejects_another_number_of_boxes(boxes: dict) -> None:
    model = build_model()
    batch = build_batch([[BBOX, 7, 2], [8, 2]], image_index=[0, 0], boxes=boxes)
    count = len(boxes.get(0, []))

    with pytest.raises(DataError, match=f"record toy/0: 1 <bbox> tokens and {count} boxes"):
        model(batch)


def test_forward_rejects_a_batch_without_supervision() -> None:
    model = build_model()

    with pytest.raises(DataError, match="record toy/0: no token is supervised"):
        model(build_batch([[7, 2]], image_index=[0], prompt_length=9))


def test_images_are_encoded_once_and_only_where_needed() -> None:
    model = build_model()
    calls: dict[str, list[int]] = {"global": [], "grounding": [], "decoder": []}
    model.global_encoder.register_forward_hook(
        lambda _, inputs, __: calls["global"].append(len(inputs[0]))
    )
    model.grounding_encoder.register_forward_hook(
        lambda _, inputs, __: calls["grounding"].append(len(inputs[0]))
    )
    model.mask_decoder.register_forward_hook(lambda *_: calls["decoder"].append(1))
    conversations = [[7, SEG, 2], [8, SEG, 2], [9, 2]]

    model(build_batch(conversations, image_index=[0, 0, 1], num_masks=[2, 0]))

    assert calls == {"global": [2], "grounding": [1], "decoder": [1]}


def test_conversations_of_a_batch_are_independent() -> None:
    model = build_model()
    together = build_batch(
        [[BBOX, 7, BBOX, SEG, 2], [BBOX, 8, SEG, 2]],
        image_index=[0, 1],
        num_masks=[1, 1],
        boxes=BOXES,
    )

    with torch.no_grad():
        both = model(together)
        inputs = model.build_inputs(together, model.encode_image(together.global_pixels))
        states = model.run_language_model(inputs)
        alone = build_batch(
            [[BBOX, 7, BBOX, SEG, 2]], image_index=[0], num_masks=[1], boxes={0: BOXES[0]}
        )
        single = model(alone)

    assert torch.allclose(both.mask_logits[0], single.mask_logits[0], atol=1e-4)
    assert torch.isfinite(states).all()


def test_state_before_the_seg_token_predicts_the_mask() -> None:
    model = build_model()
    batch = build_batch([[7, SEG, 8, 2]], image_index=[0], num_masks=[1])
    inputs = model.build_inputs(batch, model.encode_image(batch.global_pixels))
    states = model.run_language_model(inputs)

    chosen = model.select_seg_states(inputs, states, batch)

    position = inputs.token_ids[0].tolist().index(SEG)
    assert torch.equal(chosen[0][0], states[0, position - 1])


def test_tokens_after_the_seg_token_do_not_change_its_mask() -> None:
    model = build_model()

    with torch.no_grad():
        first, second = (
            model(build_batch([[7, SEG, *rest, 2]], image_index=[0], num_masks=[1])).mask_logits[0]
            for rest in ([8, 9], [30, 31])
        )

    assert torch.allclose(first, second, atol=1e-5)


def test_gradients_reach_every_part_that_a_batch_uses() -> None:
    model = build_model()
    batch = build_batch(
        [[BBOX, 7, SEG, 2]], image_index=[0], num_masks=[1], boxes={0: [[0.1, 0.1, 0.9, 0.9]]}
    )

    model(batch).loss.backward()

    trained = {
        name.partition(".")[0]
        for name, parameter in model.named_parameters()
        if parameter.grad is not None and parameter.grad.abs().sum() > 0
    }
    assert trained == {name for name, _ in model.named_children()}


def test_frozen_parts_keep_no_gradients() -> None:
    model = build_model()
    for part in (model.global_encoder, model.grounding_encoder, model.prompt_encoder):
        part.requires_grad_(requires_grad=False)
    batch = build_batch([[7, SEG, 2]], image_index=[0], num_masks=[1])

    assert not model.encode_image(batch.global_pixels).tokens.requires_grad
    model(batch).loss.backward()

    assert all(parameter.grad is None for parameter in model.global_encoder.parameters())
    assert all(parameter.grad is None for parameter in model.grounding_encoder.parameters())


def test_merging_adapters_keeps_outputs_and_names() -> None:
    model = build_model()
    names = list(model.state_dict())
    batch = build_batch([[7, 8, 2]], image_index=[0])
    add_lora(model.language_model, rank=4, alpha=8, dropout=0.0)
    torch.manual_seed(5)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    with torch.no_grad():
        adapted = model(batch).loss.item()

        merge_lora(model.language_model)

        assert model(batch).loss.item() == pytest.approx(adapted, abs=1e-5)
    assert list(model.state_dict()) == names


def test_bfloat16_loss_is_close_to_float32() -> None:
    model = build_model()
    batch = build_batch(
        [[BBOX, 7, SEG, 2]], image_index=[0], num_masks=[1], boxes={0: [[0.1, 0.1, 0.9, 0.9]]}
    )

    with torch.no_grad():
        exact = model(batch).loss.item()
        rounded = model.bfloat16()(batch).loss.item()

    assert rounded == pytest.approx(exact, rel=2e-2)


def test_mixed_precision_trains_every_part() -> None:
    model = build_model()
    batch = build_batch(
        [[BBOX, 7, SEG, 2]], image_index=[0], num_masks=[1], boxes={0: [[0.1, 0.1, 0.9, 0.9]]}
    )
    exact = model(batch).loss.item()

    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = model(batch)
    output.loss.backward()

    assert output.loss.item() == pytest.approx(exact, rel=2e-2)
    assert output.mask_logits[0].dtype == torch.float32
    assert all(
        torch.isfinite(parameter.grad).all()
        for parameter in model.parameters()
        if parameter.grad is not None
    )


def test_tiny_state_dict_keeps_its_names_and_shapes() -> None:
    expected = json.loads((GOLDENS / "models" / "tiny_state_dict.json").read_text())

    model = GLaMM.from_config(ModelConfig.tiny(vocab_size=1031))

    shapes = {name: list(value.shape) for name, value in model.state_dict().items()}
    assert shapes == expected


@pytest.mark.parametrize(
    ("size", "millions"),
    [("tiny", 5.7), ("small", 128.2), ("7b", 8021.0)],
    ids=["tiny", "small", "7b"],
)
def test_named_sizes_have_their_number_of_parameters(size: str, millions: float) -> None:
    vocab_size = 1031 if size == "tiny" else 32007
    with torch.device("meta"):
        model = GLaMM.from_config(ModelConfig.of_size(size, vocab_size=vocab_size))

    count = sum(parameter.numel() for parameter in model.parameters())

    assert count / 1e6 == pytest.approx(millions, rel=0.06)
