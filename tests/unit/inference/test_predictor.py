import math

import numpy as np
import pytest

from glamm import GroundedPredictor
from glamm.errors import CheckpointError, RequestError
from glamm.geometry import masks
from glamm.geometry.masks import to_box
from glamm.inference.engine import generate
from glamm.inference.requests import GenerationRequest
from glamm.inference.session import mask_score
from glamm.text.conversation import PROMPT_STYLES, build_prompt
from tests.builders.memorized import QUESTION, WORDS, draw_image


@pytest.fixture(scope="session")
def predictor(memorized_model):
    return GroundedPredictor.from_checkpoint(memorized_model)


def test_answer_has_text_phrases_and_masks(memorized_model):
    answer = GroundedPredictor.from_checkpoint(memorized_model).ground(draw_image(), QUESTION)

    assert answer.text == WORDS
    assert [phrase.text for phrase in answer.phrases] == ["a red ball", "a green box"]
    assert [answer.text[phrase.start : phrase.end] for phrase in answer.phrases] == [
        "a red ball",
        "a green box",
    ]
    assert answer.finish_reason == "stop"
    assert answer.masks.shape == (2, 240, 320)
    assert answer.masks.dtype == bool
    assert answer.masks[0, 120, 120]  # the ball's middle
    assert not answer.masks[0, 10, 10]  # the sky
    for phrase, mask in zip(answer.phrases, answer.masks, strict=True):
        assert phrase.box == to_box(mask)
        assert 0.5 < phrase.score <= 1
    assert answer.counters.global_encoder_calls == 1
    assert answer.counters.grounding_encoder_calls == 1


def test_overlay_shows_the_image_above_the_text(predictor, tmp_path):
    overlay = predictor.ground(draw_image(), QUESTION).overlay()

    overlay.save(tmp_path / "out.png")
    assert overlay.width >= 320
    assert overlay.height > overlay.width * 240 / 320


def test_masks_equal_those_of_the_engine_at_the_original_size(predictor, monkeypatch):
    image = np.asarray(draw_image().resize((803, 601)))
    requests: list[GenerationRequest] = []
    submit = predictor.engine.submit
    monkeypatch.setattr(
        predictor.engine,
        "submit",
        lambda request, options: requests.append(request) or submit(request, options),
    )
    answer = predictor.ground(image, QUESTION)

    generation = generate(predictor.model, requests[0], max_new_tokens=256)

    logits = predictor.model.restore_masks(
        generation.mask_logits, resized_size=requests[0].resized_size, original_size=(601, 803)
    )
    assert answer.token_ids == generation.token_ids
    assert (answer.masks == (logits > 0).numpy()).all()
    assert [phrase.score for phrase in answer.phrases] == [mask_score(mask) for mask in logits]
    assert np.array_equal(answer.mask_logits, generation.mask_logits.numpy())
    assert [masks.decode(code).sum() for code in answer.rles()] == [
        mask.sum() for mask in answer.masks
    ]


def test_answer_without_a_mask_has_no_phrases(predictor):
    answer = predictor.ground(draw_image(), QUESTION, max_new_tokens=2)

    assert answer.phrases == ()
    assert answer.masks.shape == (0, 240, 320)
    assert answer.finish_reason == "length"
    assert answer.overlay().width >= 320


def test_box_changes_the_prompt(predictor):
    # the image is cached afterwards, so that only the positions of the question count
    predictor.ground(draw_image(), QUESTION, max_new_tokens=1)
    positions = [
        predictor.ground(
            draw_image(), QUESTION, boxes=boxes, max_new_tokens=1
        ).counters.prefill_tokens
        for boxes in ([], [(1, 1, 50, 50)])
    ]

    assert positions[1] > positions[0]


@pytest.mark.parametrize("shape", [(1, 1), (1, 100), (2, 3), (333, 5)], ids=str)
def test_images_of_odd_sizes_are_answered(predictor, shape):
    answer = predictor.ground(np.zeros((*shape, 3), np.uint8), QUESTION)

    assert answer.masks.shape[1:] == shape


@pytest.mark.parametrize(
    ("box", "reason"),
    [
        ((math.nan, 1, 2, 3), "not a finite number"),
        ((1, 1, math.inf, 3), "not a finite number"),
        ((0, 0, 321, 10), "outside .* 320 x 240"),
        ((-0.5, 0, 3, 10), "outside"),
        ((5, 5, 5, 10), "no area"),
        ((9, 5, 5, 10), "no area"),
        ((1, 2, 3), "has 3 numbers, it needs 4"),
    ],
    ids=["nan", "infinite", "outside", "negative", "empty", "reversed", "short"],
)
def test_bad_box_is_refused(predictor, box, reason):
    with pytest.raises(RequestError, match=f"box 2 .*{reason}"):
        predictor.ground(draw_image(), QUESTION, boxes=[(0, 0, 320, 240), box])


@pytest.mark.parametrize(
    ("question", "reason"),
    [
        ("", "empty"),
        ("what is <bbox>", "1 <bbox> placeholders and 0 boxes"),
        ("word " * 2000, r"takes \d+ of the model's 1024 positions"),
        ("half of a pair \ud83d", "not UTF-8"),
    ],
    ids=["empty", "no box", "long", "surrogate"],
)
def test_bad_question_is_refused(predictor, question, reason):
    with pytest.raises(RequestError, match=reason):
        predictor.ground(draw_image(), question)


def test_token_limit_must_be_positive(predictor):
    with pytest.raises(RequestError, match="at least 1"):
        predictor.ground(draw_image(), QUESTION, max_new_tokens=0)


def test_masks_that_need_too_much_memory_are_refused(predictor, monkeypatch):
    monkeypatch.setattr("glamm.inference.session.MAX_MASK_PIXELS", 100_000)

    with pytest.raises(RequestError, match="2 masks of 320 x 240 pixels"):
        predictor.ground(draw_image(), QUESTION)


def test_prompt_takes_as_many_positions_as_counted(memorized_model):
    predictor = GroundedPredictor.from_checkpoint(memorized_model)
    answer = predictor.ground(draw_image(), QUESTION, max_new_tokens=1)

    style = PROMPT_STYLES[predictor.config.prompt_style]
    ids = predictor.tokenizer.encode(build_prompt(QUESTION, style=style)).ids
    assert (
        answer.counters.prefill_tokens == len(ids) - 1 + predictor.config.global_encoder.num_tokens
    )


def test_damaged_folder_is_named(memorized_model, tmp_path):
    copy = tmp_path / "half"
    copy.mkdir()
    for path in memorized_model.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])

    with pytest.raises(CheckpointError, match=r"model\.safetensors: has 1000 bytes"):
        GroundedPredictor.from_checkpoint(copy)


def test_missing_folder_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"config\.json: cannot be read"):
        GroundedPredictor.from_checkpoint(tmp_path)


def test_answer_is_the_same_twice(predictor):
    first, second = (predictor.ground(draw_image(), QUESTION) for _ in range(2))

    assert first.token_ids == second.token_ids
    assert np.array_equal(first.masks, second.masks)
