"""The number of operations of each part equals what torch counts."""

import pytest
from torch.utils.flop_counter import FlopCounterMode

from glamm.training.flops import (
    ShapeRecorder,
    forward_flops,
    peak_flops,
    training_factors,
    training_flops,
)
from glamm.training.joint import GLaMMModule
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


@pytest.mark.parametrize(
    "image_index",
    [[0, 1, 2], [0, 1, 1]],
    ids=["one conversation per image", "two conversations about one image"],
)
def test_forward_flops_match_torch(image_index):
    model, batch = build_model(), batch_of(image_index)

    recorder = ShapeRecorder(model)
    with FlopCounterMode(display=False) as counter:
        model(batch)

    counted = counter.get_flop_counts()
    expected = forward_flops(CONFIG, recorder.shape)
    for name, value in expected.items():
        assert sum(counted[f"GLaMM.{name}"].values()) == pytest.approx(value, rel=0.02), name


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"lora": {"rank": 1}, "trainable": RELEASE_PARTS, "optimizer": {"encoder_lr_scale": 0}},
        {"trainable": ["mask_decoder.*"]},
    ],
    ids=["everything", "parts that the release trains", "mask decoder"],
)
def test_training_flops_match_torch(values):
    module = GLaMMModule(build_model().train(), config=train_config(**values))
    batch = batch_of([0, 1, 2])

    recorder = ShapeRecorder(module.model)
    with FlopCounterMode(display=False) as counter:
        module.model(batch).loss.backward()

    expected = training_flops(CONFIG, recorder.shape, training_factors(module.model))
    assert counter.get_total_flops() == pytest.approx(expected, rel=0.05)


def test_peak_flops_are_found_by_a_part_of_the_device_name():
    assert peak_flops("NVIDIA H100 80GB HBM3") == 989e12
    assert peak_flops("NVIDIA L40S") == 362e12
    assert peak_flops("an unknown one") is None


def test_recorder_forgets_the_last_pass():
    model = build_model()
    recorder = ShapeRecorder(model)
    model(batch_of([0, 1, 2]))

    recorder.reset()
    model(build_batch([[7, 8, 2]], image_index=[0]))

    shape = recorder.shape
    assert (shape.images, shape.sequences, shape.supervised) == (1, 1, 2)
    assert (shape.masks, shape.regions, shape.grounded_images, shape.region_images) == (0, 0, 0, 0)
