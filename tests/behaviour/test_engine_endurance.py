"""The engine over thousands of requests, and with compiled decode steps."""

import gc
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import psutil
import pytest
import torch

from glamm.inference.engine import Engine, generate
from glamm.inference.engine_options import EngineOptions
from glamm.inference.requests import GenerationOptions
from tests.builders.models import build_model, build_request

pytestmark = pytest.mark.slow


@pytest.mark.timeout(300)
def test_two_thousand_requests_need_no_more_memory_than_two_hundred():
    model, process = build_model(), psutil.Process()
    engine = Engine(model, EngineOptions(max_waiting=100, cache_bytes=20_000_000))
    options = GenerationOptions(max_new_tokens=3, eos_token_id=-1)
    request = build_request([7, 8])
    resident = []

    for number in range(2000):
        pixels = request.global_pixels.roll(number % 97, -1)
        current = replace(request, global_pixels=pixels, image_key=str(number).encode())
        handle = engine.submit(current, options)
        if number % 16 == 15:
            handle.result()
        if number % 200 == 199:
            gc.collect()
            resident.append(process.memory_info().rss)

    assert max(resident[1:]) - resident[0] < 40_000_000
    assert engine.num_running == 0
    assert engine.num_waiting < 16


@pytest.fixture
def _frequent_thread_switches():
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("_frequent_thread_switches")
def test_requests_are_accepted_while_another_thread_takes_a_step():
    engine = Engine(build_model(), EngineOptions(max_batch_size=1, max_waiting=5000))
    request = build_request([7])
    first = engine.submit(request, GenerationOptions(max_new_tokens=200, eos_token_id=-1))

    def submit():
        for _ in range(2000):
            engine.submit(request, GenerationOptions(max_new_tokens=1))

    with ThreadPoolExecutor(2) as pool:
        others = [pool.submit(submit) for _ in range(2)]
        answer = first.result()

    assert [other.exception() for other in others] == [None, None]
    assert len(answer.token_ids) == 200


@pytest.mark.timeout(600)
def test_compiled_steps_generate_the_same_tokens():
    model = build_model(seed=3)
    engine = Engine(model, EngineOptions(max_batch_size=4, compile_decode=True))
    options = GenerationOptions(max_new_tokens=6, eos_token_id=-1)
    requests = [build_request(tokens) for tokens in ([7], [8, 9, 10], [3, 4])]

    handles = [engine.submit(request, options) for request in requests]
    answers = [handle.result() for handle in handles]

    for request, answer in zip(requests, answers, strict=True):
        alone = generate(model, request, max_new_tokens=6, eos_token_id=-1)
        assert answer.token_ids == alone.token_ids


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("compiles", [False, True], ids=["eager", "compiled"])
@pytest.mark.parametrize("prefetches", [False, True], ids=["on demand", "prefetched"])
def test_gpu_answers_together_as_alone(dtype, compiles, prefetches):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    model = build_model(seed=3).to("cuda", dtype)
    options = GenerationOptions(max_new_tokens=8, eos_token_id=-1)
    requests = [
        replace(
            request,
            global_pixels=request.global_pixels.cuda(),
            grounding_pixels=request.grounding_pixels.cuda(),
            input_ids=request.input_ids.cuda(),
            boxes_xyxy_unit=request.boxes_xyxy_unit.cuda(),
            image_key=b"one",
        )
        for request in (build_request(tokens) for tokens in ([7], [8, 9, 10], [3, 4]))
    ]
    engine = Engine(
        model,
        EngineOptions(max_batch_size=4, compile_decode=compiles, prefetch_grounding=prefetches),
    )

    handles = [engine.submit(request, options) for request in requests]
    answers = [handle.result() for handle in handles]

    assert all(answer.finish_reason == "length" for answer in answers)
    if dtype is torch.float32:
        for request, answer in zip(requests, answers, strict=True):
            alone = generate(model, request, max_new_tokens=8, eos_token_id=-1)
            assert answer.token_ids == alone.token_ids
