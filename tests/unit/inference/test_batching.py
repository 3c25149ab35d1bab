"""Many requests at once: each gets the answer that it would get alone."""

import threading
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from glamm.errors import BusyError, DataError, RequestError
from glamm.inference.engine import Engine, generate
from glamm.inference.engine_options import EngineOptions
from glamm.inference.requests import GenerationOptions, NewMask, NewToken
from glamm.structures.ids import IMAGE_PLACEHOLDER_ID
from tests.builders.models import BBOX, CONFIG, SEG, build_model, build_request

BOX = [[0.1, 0.2, 0.7, 0.9]]
ENDLESS = GenerationOptions(max_new_tokens=9, eos_token_id=-1)


@pytest.fixture(scope="module")
def model():
    """Generates [SEG] now and then."""
    model = build_model(seed=3)

    def lift(_, states, logits):
        lifted = logits.clone()
        is_seg = (states[0][..., 0] * 5).sin() > 0.5
        lifted[..., SEG] = logits.amax(-1) + torch.where(is_seg, 1.0, -9.0)
        return lifted

    model.language_model.lm_head.register_forward_hook(lift)
    return model


def requests():
    """Prompts of different lengths, about three images, with and without regions."""
    requests = []
    for index, tokens in enumerate(
        [[7], [8, 9, 10, 11], [BBOX, 7], list(range(5, 25)), [3], [4, BBOX, 4]]
    ):
        request = build_request(tokens, boxes=BOX if BBOX in tokens else None)
        pixels = request.global_pixels.roll(index % 3 * 5, -1)
        grounding = request.grounding_pixels.roll(index % 3 * 5, -1)
        key = str(index % 3).encode()
        requests.append(
            replace(request, global_pixels=pixels, grounding_pixels=grounding, image_key=key)
        )
    return requests


def assert_same(answer, expected):
    assert answer.token_ids == expected.token_ids
    assert answer.finish_reason == expected.finish_reason
    assert answer.mask_logits.shape == expected.mask_logits.shape
    assert torch.allclose(answer.mask_logits, expected.mask_logits, atol=2e-4)


@pytest.mark.parametrize("max_batch_size", [1, 2, 16], ids=["one slot", "two slots", "all at once"])
@pytest.mark.parametrize("is_compiled_shape", [False, True], ids=["eager", "static shapes"])
def test_every_answer_is_the_one_alone(model, max_batch_size, is_compiled_shape, monkeypatch):
    if is_compiled_shape:  # only the shapes of compiled steps: compiling takes minutes
        monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    options = EngineOptions(max_batch_size=max_batch_size, compile_decode=is_compiled_shape)
    engine = Engine(model, options)
    handles = [
        engine.submit(request, replace(ENDLESS, max_new_tokens=3 + 2 * index))
        for index, request in enumerate(requests())
    ]

    together = [handle.result() for handle in reversed(handles)][::-1]

    alone = [
        generate(model, request, max_new_tokens=3 + 2 * index, eos_token_id=-1)
        for index, request in enumerate(requests())
    ]
    assert any(len(answer.mask_logits) for answer in alone)
    for answer, expected in zip(together, alone, strict=True):
        assert_same(answer, expected)


def test_requests_join_a_running_batch(model):
    engine = Engine(model)
    first, second, third = requests()[:3]
    running = engine.submit(first, replace(ENDLESS, max_new_tokens=12))
    stream = running.events()
    for _ in range(3):
        next(stream)

    joined = [engine.submit(request, ENDLESS) for request in (second, third)]
    list(stream)

    assert_same(running.result(), generate(model, first, max_new_tokens=12, eos_token_id=-1))
    for handle, request in zip(joined, (second, third), strict=True):
        assert_same(handle.result(), generate(model, request, max_new_tokens=9, eos_token_id=-1))


@settings(max_examples=15, deadline=None)
@given(
    plan=st.lists(st.tuples(st.integers(0, 5), st.integers(1, 6), st.integers(0, 4)), max_size=7)
)
def test_answers_do_not_depend_on_the_order_of_requests_and_steps(model, plan):
    engine = Engine(model, EngineOptions(max_batch_size=3))
    handles = []
    for which, tokens, steps in plan:
        handle = engine.submit(requests()[which], replace(ENDLESS, max_new_tokens=tokens))
        handles.append((which, tokens, handle))
        for _ in range(steps):
            engine.step()

    for which, tokens, handle in handles:
        alone = generate(model, requests()[which], max_new_tokens=tokens, eos_token_id=-1)
        assert_same(handle.result(), alone)


def test_one_image_is_encoded_once_for_all_questions(model):
    engine = Engine(model)
    calls = {"global_encoder": 0, "grounding_encoder": 0, "mask_decoder": 0}
    hooks = [
        model.get_submodule(name).register_forward_hook(
            lambda *_, name=name: calls.update({name: calls[name] + 1})
        )
        for name in calls
    ]
    image = requests()[0]
    handles = [
        engine.submit(
            replace(image, input_ids=torch.tensor([1, IMAGE_PLACEHOLDER_ID, 7 + n])), ENDLESS
        )
        for n in range(6)
    ]

    answers = [handle.result() for handle in handles]
    later = engine.answer(image, ENDLESS)

    for hook in hooks:
        hook.remove()
    assert calls["global_encoder"] == 1
    assert calls["grounding_encoder"] == 1
    assert sum(answer.counters.global_encoder_calls for answer in answers) == 1
    num_tokens = CONFIG.global_encoder.num_tokens
    assert [answer.counters.prefill_tokens for answer in answers] == [2 + num_tokens, *[1] * 5]
    assert later.counters.prefill_tokens == 1


def test_all_masks_of_an_answer_are_decoded_in_one_run(model):
    engine = Engine(model)
    answer = engine.answer(requests()[0], replace(ENDLESS, max_new_tokens=40))

    assert len(answer.mask_logits) > 1
    assert answer.counters.mask_decoder_calls == 1
    assert answer.counters.grounding_encoder_calls == 1


def test_streamed_masks_follow_their_token(model):
    engine = Engine(model)
    handle = engine.submit(requests()[0], replace(ENDLESS, max_new_tokens=40, stream_masks=True))

    events = list(handle.events())

    answer = handle.result()
    tokens = [event.token_id for event in events if isinstance(event, NewToken)]
    assert tokens == list(answer.token_ids)
    masks = [event for event in events if isinstance(event, NewMask)]
    assert [mask.index for mask in masks] == list(range(len(answer.mask_logits)))
    first = events.index(masks[0])
    assert events[first - 1] == NewToken(SEG)
    assert any(isinstance(event, NewToken) for event in events[first:])
    assert_same(answer, generate(model, requests()[0], max_new_tokens=40, eos_token_id=-1))


def test_cancelled_request_frees_its_slot(model):
    engine = Engine(model, EngineOptions(max_batch_size=1))
    first, second = (engine.submit(request, ENDLESS) for request in requests()[:2])
    next(first.events())

    first.cancel()
    answer = second.result()

    assert first.result().finish_reason == "cancelled"
    assert len(first.result().token_ids) < 9
    assert_same(answer, generate(model, requests()[1], max_new_tokens=9, eos_token_id=-1))


def test_waiting_request_can_be_cancelled_before_any_work(model):
    engine = Engine(model, EngineOptions(max_batch_size=1))
    _, waiting = (engine.submit(request, ENDLESS) for request in requests()[:2])

    waiting.cancel()

    assert waiting.result().token_ids == ()
    assert waiting.result().counters.prefill_tokens == 0


def test_full_queue_refuses_a_request(model):
    engine = Engine(model, EngineOptions(max_waiting=2))
    handles = [engine.submit(request, ENDLESS) for request in requests()[:2]]

    with pytest.raises(BusyError, match="2 questions are waiting already"):
        engine.submit(requests()[2], ENDLESS)

    assert all(handle.result().finish_reason == "length" for handle in handles)


def test_bad_prompt_does_not_affect_other_requests(model):
    engine = Engine(model)
    good = engine.submit(requests()[0], ENDLESS)
    bad = engine.submit(replace(requests()[1], boxes_xyxy_unit=torch.tensor(BOX)), ENDLESS)

    with pytest.raises(DataError, match="0 <bbox> tokens and 1 boxes"):
        bad.result()
    assert_same(good.result(), generate(model, requests()[0], max_new_tokens=9, eos_token_id=-1))


def test_engine_continues_after_a_failed_step(model):
    engine = Engine(model)
    handles = [engine.submit(request, ENDLESS) for request in requests()[:2]]
    next(handles[0].events())
    language = model.language_model.model
    failure = language.register_forward_pre_hook(lambda *_: 1 / 0)
    for handle in handles:
        with pytest.raises(ZeroDivisionError, match="division by zero"):
            handle.result()
    failure.remove()

    answer = engine.answer(requests()[2], ENDLESS)

    assert_same(answer, generate(model, requests()[2], max_new_tokens=9, eos_token_id=-1))


def test_many_threads_are_answered_together(model):
    engine = Engine(model)
    answers = {}

    def submit(index):
        answers[index] = engine.answer(requests()[index % 6], ENDLESS)

    threads = [threading.Thread(target=submit, args=(index,)) for index in range(18)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert len(answers) == 18
    for index, answer in answers.items():
        assert_same(
            answer, generate(model, requests()[index % 6], max_new_tokens=9, eos_token_id=-1)
        )


def test_cache_is_bounded(model):
    engine = Engine(model, EngineOptions(cache_bytes=3_000_000))
    for number in range(30):
        engine.answer(replace(requests()[number % 6], image_key=bytes([number])), ENDLESS)
        assert engine.cache.currsize <= 3_000_000

    assert 0 < len(engine.cache) < 90


def test_sampling_depends_on_the_seed_alone(model):
    options = GenerationOptions(max_new_tokens=8, eos_token_id=-1, temperature=1.5, seed=5)
    engine = Engine(model)
    alone = engine.answer(requests()[3], options)
    handles = [engine.submit(request, options) for request in requests()]

    together = [handle.result() for handle in handles]

    assert_same(together[3], alone)
    others = [engine.answer(requests()[3], replace(options, seed=seed)) for seed in range(6, 10)]
    assert any(answer.token_ids != alone.token_ids for answer in others)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"max_new_tokens": 0}, "max_new_tokens is 0"),
        ({"temperature": -1.0}, "temperature is -1.0"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"top_p": 0.0}, "top_p is 0.0"),
        ({"top_p": 1.1}, "top_p is 1.1"),
        ({"seed": -1}, "seed is -1"),
    ],
    ids=["no tokens", "cold", "nan", "no probability", "over one", "negative seed"],
)
def test_options_out_of_range_are_refused(change, reason):
    with pytest.raises(RequestError, match=reason):
        replace(ENDLESS, **change)


@pytest.mark.parametrize(
    "box",
    [[0.5, 0.1, 0.4, 0.9], [0.1, 0.1, 1.2, 0.9], [0.1, float("nan"), 0.2, 0.9]],
    ids=["reversed", "outside", "nan"],
)
def test_request_refuses_an_invalid_box(box):
    with pytest.raises(RequestError, match="box 1 is"):
        build_request([BBOX], boxes=[box])


def test_stop_tokens_and_stop_conditions_end_an_answer(model):
    request = requests()[1]
    free = generate(model, request, max_new_tokens=6, eos_token_id=-1).token_ids
    engine = Engine(model)

    at_token = engine.answer(request, replace(ENDLESS, stop_token_ids=frozenset({free[2]})))
    at_length = engine.answer(request, replace(ENDLESS, should_stop=lambda ids: len(ids) == 4))

    assert at_token.token_ids == free[: free.index(free[2]) + 1]
    assert at_length.token_ids == free[:4]
    assert at_token.finish_reason == at_length.finish_reason == "stop"
