"""The count of operations equals torch's own, part by part."""

import pytest
from torch.utils.flop_counter import FlopCounterMode

from glamm.training.flops import forward_flops, load_of, peak_flops, training_flops
from glamm.training.joint import JointModule
from tests.builders.models import BBOX, CONFIG, SEG, build_batch, build_model
from tests.builders.training import train_config

ROWS = [[BBOX, 7, SEG, 5, SEG, 2], [BBOX, 7, 8, 9, SEG, 2], [8, 9, SEG, 2]]
BOXES = {0: [[0.1, 0.1, 0.9, 0.9]], 1: [[0.1, 0.2, 0.5, 0.9]]}
RELEASE_PARTS = [
    "language_model.model.embed_tokens.*",
    "language_model.lm_head.*",
    "region_encoder.*",
    "text_to_mask_projector.*",
    "mask_decoder.*",
]


def batch_of(image_index):
    masks = [2, 2] if image_index == [0, 1, 1] else [2, 1, 1]
    return build_batch(ROWS, image_index=image_index, num_masks=masks, boxes=BOXES)


@pytest.mark.parametrize("image_index", [[0, 1, 2], [0, 1, 1]], ids=["alone", "shared"])
def test_forward_operations_are_those_that_torch_counts(image_index):
    model, batch = build_model(), batch_of(image_index)

    with FlopCounterMode(display=False) as counter:
        model(batch)

    counted = counter.get_flop_counts()
    expected = forward_flops(CONFIG, load_of(batch, CONFIG))
    for name, value in expected.items():
        assert sum(counted[f"GLaMM.{name}"].values()) == pytest.approx(value, rel=0.02), name


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"lora": {"rank": 1}, "trainable": RELEASE_PARTS, "optimizer": {"encoder_lr_scale": 0}},
        {"trainable": ["mask_decoder.*"]},
    ],
    ids=["everything", "the release's parts", "mask decoder"],
)
def test_training_operations_are_those_that_torch_counts(values):
    module = JointModule(build_model().train(), config=train_config(**values))
    batch = batch_of([0, 1, 2])

    with FlopCounterMode(display=False) as counter:
        module.model(batch).loss.backward()

    expected = training_flops(module.model, load_of(batch, CONFIG))
    assert counter.get_total_flops() == pytest.approx(expected, rel=0.05)


def test_device_is_known_by_a_part_of_its_name():
    assert peak_flops("NVIDIA H100 80GB HBM3") == 989e12
    assert peak_flops("NVIDIA L40S") == 362e12
    assert peak_flops("an unknown one") is None
