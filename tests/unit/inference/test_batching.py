"""Many requests at once: each is answered as it would be alone."""

import threading
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from glamm.errors import BusyError, DataError, RequestError
from glamm.inference.engine import Engine, EngineOptions, generate
from glamm.inference.requests import GenerationOptions, NewMask, NewToken
from glamm.structures.ids import IMAGE_PLACEHOLDER_ID
from tests.builders.models import BBOX, CONFIG, SEG, build_model, build_request

BOX = [[0.1, 0.2, 0.7, 0.9]]
ENDLESS = GenerationOptions(max_new_tokens=9, eos_token_id=-1)


@pytest.fixture(scope="module")
def model():
    """Says [SEG] now and then."""
    model = build_model(seed=3)

    def lift(_, states, logits):
        lifted = logits.clone()
        is_seg = (states[0][..., 0] * 5).sin() > 0.5
        lifted[..., SEG] = logits.amax(-1) + torch.where(is_seg, 1.0, -9.0)
        return lifted

    model.language_model.lm_head.register_forward_hook(lift)
    return model


def requests():
    """Of different lengths, images and with and without regions."""
    made = []
    for index, tokens in enumerate(
        [[7], [8, 9, 10, 11], [BBOX, 7], list(range(5, 25)), [3], [4, BBOX, 4]]
    ):
        request = build_request(tokens, boxes=BOX if BBOX in tokens else None)
        pixels = request.global_pixels.roll(index % 3 * 5, -1)
        grounding = request.grounding_pixels.roll(index % 3 * 5, -1)
        key = str(index % 3).encode()
        made.append(
            replace(request, global_pixels=pixels, grounding_pixels=grounding, image_key=key)
        )
    return made


def same(one, other):
    assert one.token_ids == other.token_ids
    assert one.finish_reason == other.finish_reason
    assert one.mask_logits.shape == other.mask_logits.shape
    assert torch.allclose(one.mask_logits, other.mask_logits, atol=2e-4)


@pytest.mark.parametrize("max_batch_size", [1, 2, 16])
@pytest.mark.parametrize("is_compiled_shape", [False, True])
def test_every_answer_is_the_one_alone(model, max_batch_size, is_compiled_shape, monkeypatch):
    if is_compiled_shape:  # the shapes of compiled steps, without the minutes that compiling takes
        monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    options = EngineOptions(max_batch_size=max_batch_size, compile_decode=is_compiled_shape)
    engine = Engine(model, options)
    jobs = [
        engine.submit(request, replace(ENDLESS, max_new_tokens=3 + 2 * index))
        for index, request in enumerate(requests())
    ]

    together = [engine.wait(job) for job in reversed(jobs)][::-1]

    alone = [
        generate(model, request, max_new_tokens=3 + 2 * index, eos_token_id=-1)
        for index, request in enumerate(requests())
    ]
    assert any(len(one.mask_logits) for one in alone)
    for one, other in zip(together, alone, strict=True):
        same(one, other)


def test_requests_join_a_running_batch(model):
    engine = Engine(model)
    first, second, third = requests()[:3]
    running = engine.submit(first, replace(ENDLESS, max_new_tokens=12))
    stream = engine.events(running)
    for _ in range(3):
        next(stream)

    joined = [engine.submit(one, ENDLESS) for one in (second, third)]
    list(stream)

    same(running.generation(), generate(model, first, max_new_tokens=12, eos_token_id=-1))
    for job, request in zip(joined, (second, third), strict=True):
        same(engine.wait(job), generate(model, request, max_new_tokens=9, eos_token_id=-1))


@settings(max_examples=15, deadline=None)
@given(
    plan=st.lists(st.tuples(st.integers(0, 5), st.integers(1, 6), st.integers(0, 4)), max_size=7)
)
def test_any_order_of_coming_and_going(model, plan):
    engine = Engine(model, EngineOptions(max_batch_size=3))
    jobs = []
    for which, tokens, steps in plan:
        job = engine.submit(requests()[which], replace(ENDLESS, max_new_tokens=tokens))
        jobs.append((which, tokens, job))
        for _ in range(steps):
            engine._step()

    for which, tokens, job in jobs:
        alone = generate(model, requests()[which], max_new_tokens=tokens, eos_token_id=-1)
        same(engine.wait(job), alone)


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
    jobs = [
        engine.submit(
            replace(image, input_ids=torch.tensor([1, IMAGE_PLACEHOLDER_ID, 7 + n])), ENDLESS
        )
        for n in range(6)
    ]

    answers = [engine.wait(job) for job in jobs]
    later = engine.answer(image, ENDLESS)

    for hook in hooks:
        hook.remove()
    assert calls["global_encoder"] == 1
    assert calls["grounding_encoder"] == 1
    assert sum(one.counters.global_encoder_calls for one in answers) == 1
    num_tokens = CONFIG.global_encoder.num_tokens
    assert [one.counters.prefill_tokens for one in answers] == [2 + num_tokens, *[1] * 5]
    assert later.counters.prefill_tokens == 1


def test_all_masks_of_an_answer_are_one_run_of_the_decoder(model):
    engine = Engine(model)
    answer = engine.answer(requests()[0], replace(ENDLESS, max_new_tokens=40))

    assert len(answer.mask_logits) > 1
    assert answer.counters.mask_decoder_calls == 1
    assert answer.counters.grounding_encoder_calls == 1


def test_masks_come_as_soon_as_they_can(model):
    engine = Engine(model)
    job = engine.submit(requests()[0], replace(ENDLESS, max_new_tokens=40, stream_masks=True))

    events = list(engine.events(job))

    answer = job.generation()
    assert [one.token_id for one in events if isinstance(one, NewToken)] == list(answer.token_ids)
    found = [one for one in events if isinstance(one, NewMask)]
    assert [one.index for one in found] == list(range(len(answer.mask_logits)))
    first = events.index(found[0])
    assert events[first - 1] == NewToken(SEG)
    assert any(isinstance(one, NewToken) for one in events[first:])
    same(answer, generate(model, requests()[0], max_new_tokens=40, eos_token_id=-1))


def test_cancelled_request_frees_its_place(model):
    engine = Engine(model, EngineOptions(max_batch_size=1))
    first, second = (engine.submit(one, ENDLESS) for one in requests()[:2])
    next(engine.events(first))

    engine.cancel(first)
    answer = engine.wait(second)

    assert first.generation().finish_reason == "cancelled"
    assert len(first.generation().token_ids) < 9
    same(answer, generate(model, requests()[1], max_new_tokens=9, eos_token_id=-1))


def test_cancelled_request_that_still_waits_costs_nothing(model):
    engine = Engine(model, EngineOptions(max_batch_size=1))
    _, waiting = (engine.submit(one, ENDLESS) for one in requests()[:2])

    engine.cancel(waiting)

    assert waiting.generation().token_ids == ()
    assert waiting.generation().counters.prefill_tokens == 0


def test_full_queue_is_said(model):
    engine = Engine(model, EngineOptions(max_waiting=2))
    jobs = [engine.submit(one, ENDLESS) for one in requests()[:2]]

    with pytest.raises(BusyError, match="2 questions are waiting already"):
        engine.submit(requests()[2], ENDLESS)

    assert all(engine.wait(job).finish_reason == "length" for job in jobs)


def test_bad_prompt_ends_alone(model):
    engine = Engine(model)
    good = engine.submit(requests()[0], ENDLESS)
    bad = engine.submit(replace(requests()[1], boxes_xyxy_unit=torch.tensor(BOX)), ENDLESS)

    with pytest.raises(DataError, match="0 <bbox> tokens and 1 boxes"):
        engine.wait(bad)
    same(engine.wait(good), generate(model, requests()[0], max_new_tokens=9, eos_token_id=-1))


def test_engine_lives_on_after_a_broken_step(model, monkeypatch):
    engine = Engine(model)
    jobs = [engine.submit(one, ENDLESS) for one in requests()[:2]]
    next(engine.events(jobs[0]))
    with monkeypatch.context() as patch:
        patch.setattr(engine, "_read_step", lambda **_: 1 / 0)
        for job in jobs:
            with pytest.raises(ZeroDivisionError):
                engine.wait(job)

    answer = engine.answer(requests()[2], ENDLESS)

    same(answer, generate(model, requests()[2], max_new_tokens=9, eos_token_id=-1))


def test_many_threads_are_answered_together(model):
    engine = Engine(model)
    answers = {}

    def ask(index):
        answers[index] = engine.answer(requests()[index % 6], ENDLESS)

    threads = [threading.Thread(target=ask, args=(index,)) for index in range(18)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert len(answers) == 18
    for index, answer in answers.items():
        same(answer, generate(model, requests()[index % 6], max_new_tokens=9, eos_token_id=-1))


def test_what_is_kept_is_bounded(model):
    engine = Engine(model, EngineOptions(cache_bytes=3_000_000))
    for number in range(30):
        engine.answer(replace(requests()[number % 6], image_key=bytes([number])), ENDLESS)
        assert engine.cache.num_bytes <= 3_000_000

    assert 0 < len(engine.cache) < 90


def test_draws_depend_on_the_seed_alone(model):
    options = GenerationOptions(max_new_tokens=8, eos_token_id=-1, temperature=1.5, seed=5)
    engine = Engine(model)
    alone = engine.answer(requests()[3], options)
    jobs = [engine.submit(one, options) for one in requests()]

    together = [engine.wait(job) for job in jobs]

    same(together[3], alone)
    others = [engine.answer(requests()[3], replace(options, seed=seed)) for seed in range(6, 10)]
    assert any(one.token_ids != alone.token_ids for one in others)


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
)
def test_options_out_of_range_are_refused(change, reason):
    with pytest.raises(RequestError, match=reason):
        replace(ENDLESS, **change)


@pytest.mark.parametrize(
    "box", [[0.5, 0.1, 0.4, 0.9], [0.1, 0.1, 1.2, 0.9], [0.1, float("nan"), 0.2, 0.9]]
)
def test_box_that_is_none_is_refused(model, box):
    with pytest.raises(RequestError, match="box 1 is"):
        Engine(model).submit(build_request([BBOX], boxes=[box]), ENDLESS)


def test_further_stop_conditions(model):
    request = requests()[1]
    free = generate(model, request, max_new_tokens=6, eos_token_id=-1).token_ids
    engine = Engine(model)

    at_token = engine.answer(request, replace(ENDLESS, stop_token_ids=frozenset({free[2]})))
    at_length = engine.answer(request, replace(ENDLESS, should_stop=lambda ids: len(ids) == 4))

    assert at_token.token_ids == free[: free.index(free[2]) + 1]
    assert at_length.token_ids == free[:4]
    assert at_token.finish_reason == at_length.finish_reason == "stop"
