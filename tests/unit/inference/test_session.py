"""Several questions about one image, streamed answers, and stop strings."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from glamm import GroundedPredictor
from glamm.errors import RequestError
from glamm.inference.answer import Answer
from glamm.inference.session import GroundedPhrase, TextDelta, _four_numbers
from tests.builders.memorized import QUESTION, WORDS, draw_image


@pytest.fixture
def predictor(memorized_model):
    return GroundedPredictor.from_checkpoint(memorized_model)


def test_second_question_reuses_the_image(predictor):
    session = predictor.open(draw_image())
    first = session.answer(QUESTION)

    second = session.answer("What is it?")

    assert first.counters.global_encoder_calls == 1
    assert second.counters.global_encoder_calls == second.counters.grounding_encoder_calls == 0
    num_tokens = predictor.config.global_encoder.num_tokens
    assert 0 < second.counters.prefill_tokens < first.counters.prefill_tokens - num_tokens


def test_sessions_about_the_same_image_share_its_embeddings(predictor):
    predictor.ground(draw_image(), QUESTION)

    answer = predictor.open(np.asarray(draw_image())).answer(QUESTION)

    assert answer.counters.global_encoder_calls == answer.counters.grounding_encoder_calls == 0
    assert answer.text == WORDS


def test_another_image_is_encoded_again(predictor):
    predictor.ground(draw_image(), QUESTION)
    pixels = np.asarray(draw_image()).copy()
    pixels[:40] = 255 - pixels[:40]

    answer = predictor.ground(pixels, QUESTION)

    assert answer.counters.global_encoder_calls == 1


def test_cached_answer_is_the_fresh_one(predictor, memorized_model):
    session = predictor.open(draw_image())
    session.answer("What is it?")
    warm = session.answer(QUESTION)
    cold = GroundedPredictor.from_checkpoint(memorized_model).ground(draw_image(), QUESTION)

    assert warm.token_ids == cold.token_ids
    assert np.array_equal(warm.masks, cold.masks)


def test_stream_yields_the_whole_answer_in_pieces(predictor):
    session = predictor.open(draw_image())
    whole = session.answer(QUESTION)

    events = list(session.stream(QUESTION))

    *pieces, answer = events
    assert isinstance(answer, Answer)
    assert "".join(piece.text for piece in pieces if isinstance(piece, TextDelta)) == whole.text
    assert answer.text == whole.text
    phrases = [piece for piece in pieces if isinstance(piece, GroundedPhrase)]
    assert [item.phrase.text for item in phrases] == ["a red ball", "a green box"]
    for item, mask in zip(phrases, whole.masks, strict=True):
        assert np.array_equal(item.mask, mask)
    first = events.index(phrases[0])
    deltas = [event.text for event in events[:first] if isinstance(event, TextDelta)]
    assert "".join(deltas) == "a red ball"


def test_closing_a_stream_cancels_the_answer(predictor):
    stream = predictor.open(draw_image()).stream(QUESTION)
    next(stream)
    stream.close()

    assert predictor.engine.num_running == 0
    assert predictor.ground(draw_image(), QUESTION).text == WORDS


@pytest.mark.parametrize("stop", [["and"], ("?", "and"), "and"], ids=["list", "tuple", "text"])
def test_stop_string_ends_an_answer(predictor, stop):
    answer = predictor.open(draw_image()).answer(QUESTION, stop=stop)

    assert answer.text == "a red ball and"
    assert answer.finish_reason == "stop"
    assert [phrase.text for phrase in answer.phrases] == ["a red ball"]


def test_questions_from_many_threads(predictor):
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: predictor.ground(draw_image(), QUESTION), range(16)))

    assert {answer.text for answer in answers} == {WORDS}
    assert sum(answer.counters.global_encoder_calls for answer in answers) == 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param({"stop": [""]}, "an empty stop string", id="empty stop string"),
        pytest.param({"temperature": -1.0}, "temperature is -1.0", id="temperature"),
        pytest.param({"max_new_tokens": 0}, "max_new_tokens is 0", id="no tokens"),
        pytest.param(
            {"boxes": [(0, 0, 1, float("nan"))]}, "not a finite number", id="nan in a box"
        ),
        pytest.param({"boxes": [(0, 0, 1, 5000)]}, "reaches outside the image", id="box outside"),
        pytest.param({"boxes": [(0, 0, 5, 5)] * 20}, "20 boxes", id="surplus boxes"),
    ],
)
def test_bad_questions_are_refused_and_the_session_goes_on(predictor, change, reason):
    session = predictor.open(draw_image())

    question = QUESTION if "boxes" not in change else "What are <bbox>, <bbox> and <bbox>?"
    if change.get("boxes") and len(change["boxes"]) == 1:
        question = QUESTION
    with pytest.raises(RequestError, match=reason):
        session.answer(question, **change)

    assert session.answer(QUESTION).text == WORDS


@pytest.mark.parametrize(
    ("box", "reason"),
    [
        (10, r"box 1 is 10: boxes must be a list of \[x1, y1, x2, y2\]"),
        (None, "box 1 is None"),
        ("1234", "box 1 is '1234'"),
        ({"x1": 1, "y1": 1, "x2": 9, "y2": 9}, "box 1 is {'x1': 1"),
        ((1, 1, 9), "box 1 has 3 numbers, it needs 4"),
        (("1", "1", "9", "9"), "must hold numbers"),
        ((True, 1, 9, 9), "must hold numbers"),
    ],
    ids=["flat list", "none", "text", "mapping", "three", "numbers as text", "truth value"],
)
def test_box_of_another_form_is_refused(box, reason):
    with pytest.raises(RequestError, match=reason):
        _four_numbers(box, 1)


@pytest.mark.parametrize("kind", [np.float32, np.int64], ids=["float32", "int64"])
def test_box_may_be_an_array(kind):
    assert _four_numbers(np.array([1, 2, 30, 40], dtype=kind), 1) == (1.0, 2.0, 30.0, 40.0)
