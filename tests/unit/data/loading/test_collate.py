import io
import logging
import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from glamm.config.model import CompatConfig, ModelConfig
from glamm.data.loading.collate import SamplePreprocessor, collate
from glamm.data.shards.reader import read_pixels
from glamm.errors import DataError
from glamm.geometry import masks
from glamm.structures.ids import IGNORE_LABEL, IMAGE_PLACEHOLDER_ID
from glamm.structures.sample import Target, Turn, objects_by_id
from glamm.text.render import render_rounds
from glamm.text.tokenizer import embedded_tokenizer
from tests.builders.data import OBJECTS, SIZE, caption, grounded, referring, regions

TOKENIZER = embedded_tokenizer()
CONFIG = ModelConfig.tiny(vocab_size=len(TOKENIZER))
SEG, BOX = TOKENIZER.token_id("[SEG]"), TOKENIZER.token_id("<bbox>")


def make_preprocessor(*, config=CONFIG, seed=0, flip_probability=0.0, mask_side=None):
    return SamplePreprocessor(
        model_config=config,
        tokenizer=TOKENIZER,
        seed=seed,
        flip_probability=flip_probability,
        mask_side=mask_side,
    )


def batch_of(*groups, **options):
    preprocessor = make_preprocessor(**options)
    return collate(
        [preprocessor.preprocess(samples, epoch=0) for samples in groups],
        pad_id=CONFIG.special_tokens.pad,
    )


SAMPLES = {"grounded": grounded, "referring": referring, "regions": regions, "caption": caption}


@pytest.mark.parametrize("sample_of", SAMPLES.values(), ids=SAMPLES)
def test_every_special_token_has_its_mask_or_box(sample_of):
    batch = batch_of([sample_of(seed=0)], [sample_of(seed=1)], [sample_of(seed=2)])

    assert (batch.input_ids == IMAGE_PLACEHOLDER_ID).sum(dim=1).tolist() == [1, 1, 1]
    for ids, boxes in zip(batch.input_ids, batch.boxes_xyxy_unit, strict=True):
        assert int((ids == BOX).sum()) == len(boxes)
    if batch.grounding_pixels is None:
        assert batch.masks == ()
        assert not (batch.input_ids == SEG).any()
    else:
        counts = [int((ids == SEG).sum()) for ids in batch.input_ids]
        assert counts == [len(stack) for stack in batch.masks]
        assert all(count > 0 for count in counts)


def test_only_task_groups_with_masks_have_grounding_pixels():
    groups = {
        name: batch_of([sample_of()]).grounding_pixels is not None
        for name, sample_of in SAMPLES.items()
    }

    assert groups == {"grounded": True, "referring": True, "regions": False, "caption": False}


def test_mask_of_a_phrase_is_the_union_of_its_objects_in_text_order():
    batch = batch_of([grounded()])

    by_id = {obj.id: masks.decode(obj.mask) for obj in OBJECTS}
    assert (batch.masks[0][0].numpy() == by_id[0]).all()
    assert (batch.masks[0][1].numpy() == (by_id[1] | by_id[5])).all()


def test_smaller_masks_are_those_of_the_image_scaled_down():
    whole, small = batch_of([grounded()]), batch_of([grounded()], mask_side=max(SIZE) // 2)

    half = (SIZE[0] // 2, SIZE[1] // 2)
    assert small.original_sizes == (half,)
    for one, two in zip(whole.masks[0].numpy(), small.masks[0].numpy(), strict=True):
        cells = one.reshape(half[0], 2, half[1], 2).mean((1, 3))
        assert (two == (cells >= 0.5)).all()
    assert batch_of([grounded()], mask_side=max(SIZE)).original_sizes == whole.original_sizes


def test_masks_and_boxes_follow_the_targets_that_were_drawn():
    sample = referring()
    rounds = render_rounds(sample, random.Random(f"0/0/{sample.sample_id}"))  # noqa: S311 - as the preprocessor draws

    batch = batch_of([sample])

    by_id = {obj.id: masks.decode(obj.mask) for obj in OBJECTS}
    wanted = [ids for turn in rounds for ids in turn.seg_targets]
    assert len(wanted) == 3
    for found, ids in zip(batch.masks[0].numpy(), wanted, strict=True):
        assert (found == np.any([by_id[i] for i in ids] or [np.zeros(SIZE, bool)], axis=0)).all()


def test_boxes_are_in_units_of_the_image():
    sample = regions()
    rounds = render_rounds(sample, random.Random(f"0/0/{sample.sample_id}"))  # noqa: S311 - as the preprocessor draws

    batch = batch_of([sample])

    expected = [
        [x1 / 32, y1 / 24, x2 / 32, y2 / 24]
        for turn in rounds
        for x1, y1, x2, y2 in [objects_by_id(OBJECTS)[turn.region_ids[0]].box]
    ]
    torch.testing.assert_close(batch.boxes_xyxy_unit[0], torch.tensor(expected))


def test_labels_are_the_answers_and_their_ends():
    batch = batch_of([caption()])

    supervised = batch.labels[0][batch.labels[0] != IGNORE_LABEL].tolist()
    assert supervised[-1] == CONFIG.special_tokens.eos
    assert TOKENIZER.decode(supervised) == "Three things."


def test_conversations_are_padded_on_the_right():
    long = caption(seed=1)
    batch = batch_of([caption()], [grounded_without_masks(long)])

    lengths = batch.attention_mask.sum(dim=1)
    assert lengths[0] != lengths[1]
    for ids, labels, mask in zip(batch.input_ids, batch.labels, batch.attention_mask, strict=True):
        assert (ids[~mask] == CONFIG.special_tokens.pad).all()
        assert (labels[~mask] == IGNORE_LABEL).all()
        assert mask.tolist() == sorted(mask.tolist(), reverse=True)


def grounded_without_masks(sample):
    return replace(sample, turns=(Turn("user", None), Turn("assistant", "word " * 40)))


def test_several_conversations_share_one_image():
    batch = batch_of([grounded(), grounded("second")], [grounded(seed=1)])

    assert len(batch.global_pixels) == len(batch.grounding_pixels) == 2
    assert batch.image_index.tolist() == [0, 0, 1]
    assert [len(stack) for stack in batch.masks] == [4, 2]
    assert batch.sample_ids == ("toy/train/0/talk", "toy/train/0/second", "toy/train/1/talk")


def test_sizes_are_those_of_the_model():
    batch = batch_of([grounded()])

    assert batch.global_pixels.shape == (1, 3, 128, 128)
    assert batch.grounding_pixels.shape == (1, 3, 128, 128)
    assert batch.resized_sizes == ((96, 128),)
    assert batch.original_sizes == (SIZE,)
    assert batch.masks[0].shape[1:] == SIZE


def test_global_image_is_squashed_unless_it_is_cropped_as_in_the_release():
    pixels = np.zeros((32, 96, 3), dtype=np.uint8)
    pixels[:, 64:] = 255
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    sample = caption()
    sample = replace(
        sample, image=replace(sample.image, size=(32, 96), data=file.getvalue()), objects=()
    )
    release = CONFIG.model_copy(update={"compat": CompatConfig(crops_global_image=True)})

    squashed, cropped = (
        batch_of([sample]).global_pixels,
        batch_of([sample], config=release).global_pixels,
    )

    assert squashed[0, 0, :, -30:].min() == 255
    assert cropped.max() < 128


def test_wording_depends_on_seed_epoch_and_sample_only():
    samples = [referring(seed=seed) for seed in range(8)]
    texts = [
        [
            make_preprocessor(seed=seed)
            .preprocess([sample], epoch=epoch)
            .conversations[0]
            .encoded.input_ids
            for sample in samples
        ]
        for seed, epoch in ((0, 0), (0, 0), (0, 1), (1, 0))
    ]

    assert texts[0] == texts[1]
    assert texts[0] != texts[2]
    assert texts[0] != texts[3]


def test_mirrored_image_has_mirrored_masks_and_boxes():
    plain, mirrored = (
        make_preprocessor().preprocess([grounded()], epoch=0),
        make_preprocessor(flip_probability=1.0).preprocess([grounded()], epoch=0),
    )

    one, two = plain.conversations[0], mirrored.conversations[0]
    assert (two.targets == one.targets[:, :, ::-1]).all()
    assert abs(mirrored.global_pixels[:, :, ::-1].astype(int) - plain.global_pixels).max() <= 1
    by_box = zip(
        make_preprocessor().preprocess([regions()], epoch=0).conversations[0].regions,
        make_preprocessor(flip_probability=1.0)
        .preprocess([regions()], epoch=0)
        .conversations[0]
        .regions,
        strict=True,
    )
    for (x1, y1, x2, y2), found in by_box:
        assert found == pytest.approx((1 - x2, y1, 1 - x1, y2))


def test_image_whose_text_mentions_left_is_never_mirrored():
    sample = grounded(turns=(Turn("user", None), Turn("assistant", "A cube on the left.")))

    plain, flipped = (
        make_preprocessor().preprocess([sample], epoch=0),
        make_preprocessor(flip_probability=1.0).preprocess([sample], epoch=0),
    )

    assert (plain.global_pixels == flipped.global_pixels).all()


def test_text_that_does_not_fit_is_left_out_with_a_message(caplog):
    preprocessor = make_preprocessor()
    huge = caption()
    huge = replace(huge, turns=(Turn("user", None), Turn("assistant", "lorem " * 16_665)))

    with caplog.at_level(logging.WARNING):
        assert preprocessor.preprocess([huge], epoch=0) is None
        assert preprocessor.preprocess([huge], epoch=1) is None

    [message] = caplog.messages
    assert message == (
        "toy/train/0/caption is not used: its text is longer than the 961 tokens that the model has for text. "
        "Further ones of toy are not mentioned"
    )


def test_expression_that_is_too_long_does_not_cost_the_others():
    sample = referring()
    targets = (Target("lorem " * 2000, (0,)), Target("thing", (1,)), Target("other", (5,)))

    for seed in range(6):  # in all orders of the rounds
        example = make_preprocessor(seed=seed).preprocess(
            [replace(sample, targets=targets)], epoch=0
        )
        assert example is not None
        assert 1 <= len(example.conversations[0].targets) <= 2


def test_damaged_image_is_named():
    sample = grounded()
    cut = replace(sample, image=replace(sample.image, data=sample.image.data[:200]))

    with pytest.raises(DataError, match=r"record image0.jpg: .* run glamm data prepare again"):
        make_preprocessor().preprocess([cut], epoch=0)


def test_batch_on_another_order_of_images_is_the_same_in_that_order():
    groups = [[grounded(seed=seed)] for seed in range(4)]
    order = [2, 0, 3, 1]

    straight, mixed = batch_of(*groups), batch_of(*[groups[i] for i in order])

    assert (mixed.input_ids == straight.input_ids[order]).all()
    assert (mixed.global_pixels == straight.global_pixels[order]).all()
    assert all((mixed.masks[n] == straight.masks[i]).all() for n, i in enumerate(order))
    assert read_pixels(groups[0][0].image).shape == (*SIZE, 3)
