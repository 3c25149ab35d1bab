"""The engine against the release's algorithm, in turn, in one process, on the same weights.

The release's algorithm reads everything again for every new token: the global encoder, the projector, the region
encoder, the whole language model with its head at all positions; then the grounding encoder and the mask decoder.
Written on our own modules, so that nothing but the algorithm differs. Ids and masks must be equal.

python benchmarks/inference.py [--size small] [--threads N] [--repeats 2] [--works answer_32,region_32] [--json FILE]
"""

import argparse
import json
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from glamm.allocator import tune_allocator

tune_allocator()  # before torch makes a tensor

import torch

from glamm.config.model import ModelConfig
from glamm.inference.engine import Engine, generate
from glamm.inference.prompts import embed_prompt
from glamm.inference.requests import Generation, GenerationOptions, GenerationRequest
from glamm.models.glamm import GLaMM
from glamm.structures.ids import IMAGE_PLACEHOLDER_ID

VOCAB_SIZE = 4096
PROMPT_POSITIONS = 640
CONCURRENT_TOKENS = 256
"""What an answer may take where nobody says otherwise."""

Answer = tuple[list[int], torch.Tensor]
"""New ids, and masks."""

Result = list[Answer]
Work = Callable[[], Result]


def main() -> None:
    """Measure every work, print the ratios with their spread."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--size", choices=["tiny", "small"], default="small")
    parser.add_argument(
        "--threads", type=int, help="1 for one answer, 2 for sixteen at once, unless given"
    )
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--works", default="all", help="names with commas between, or all")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = GLaMM.from_config(ModelConfig.of_size(options.size, vocab_size=VOCAB_SIZE)).eval()
    say_seg_now_and_then(model)
    works: dict[str, Callable[[], tuple[Work, Work]]] = {
        "answer_32": lambda: _answer(model, 32),
        "answer_128": lambda: _answer(model, 128),
        "region_32": lambda: _answer(model, 32, has_region=True),
        "second_question": lambda: _second_question(model),
        "concurrent_16": lambda: _concurrent(model, num_images=16),
        "concurrent_16_one_image": lambda: _concurrent(model, num_images=1),
    }
    chosen = list(works) if options.works == "all" else options.works.split(",")
    results: dict[str, dict[str, float]] = {}
    for name in chosen:
        torch.set_num_threads(options.threads or (2 if name.startswith("concurrent") else 1))
        slow, fast = works[name]()
        ratios = [_ratio(slow, fast) for _ in range(options.repeats)]
        results[name] = {
            "ratio": round(statistics.median(ratios), 3),
            "low": round(min(ratios), 3),
            "high": round(max(ratios), 3),
        }
        print(f"{name:>24}  {results[name]}", flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"peak memory of the process: {peak} MiB")
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")


def _ratio(slow: Work, fast: Work) -> float:
    """Time of one over time of the other; both must give the same."""
    expected, slow_seconds = _timed(slow)
    found, fast_seconds = _timed(fast)
    for (ids, masks), (other_ids, other_masks) in zip(expected, found, strict=True):
        if ids != other_ids:
            raise SystemExit("the two do not say the same")
        if not torch.allclose(masks, other_masks, atol=1e-3):
            raise SystemExit("the two do not see the same")
    return slow_seconds / fast_seconds


def _timed(work: Work) -> tuple[Result, float]:
    start = time.perf_counter()
    result = work()
    return result, time.perf_counter() - start


def _answer(model: GLaMM, num_tokens: int, *, has_region: bool = False) -> tuple[Work, Work]:
    """The release's algorithm's time over the engine's."""
    request = request_of(model, has_region=has_region)
    _alone(model, request, 2)  # whatever only the first call does
    return (
        lambda: [_release(model, request, num_tokens)],
        lambda: [_alone(model, request, num_tokens)],
    )


def _second_question(model: GLaMM) -> tuple[Work, Work]:
    """The second question's time over the first's, both without their own decode steps."""
    options = GenerationOptions(max_new_tokens=1, eos_token_id=-1)
    first = request_of(model)
    question = torch.randint(8, VOCAB_SIZE - 8, (40,))
    second = replace(first, input_ids=torch.cat([first.input_ids[:-40], question]))
    engine = Engine(model)

    def ask_first() -> Result:
        engine.cache.clear()
        engine.answer(first, options)
        _mask(model, first, engine)
        return []

    def ask_second() -> Result:
        engine.answer(second, options)
        _mask(model, second, engine)
        return []

    ask_first()
    return ask_second, ask_first


def _mask(model: GLaMM, request: GenerationRequest, engine: Engine) -> None:
    """Let a question end with a mask: whether random weights say [SEG] in time is a matter of luck."""
    key = ("grounding", request.image_key)
    with torch.inference_mode():
        embedding = engine.cache.get(key, torch.Tensor)
        if embedding is None:
            pixels, sizes = request.grounding_pixels[None], (request.resized_size,)
            embedding = model.encode_grounding(pixels, sizes)[0]
            engine.cache.put(key, embedding)
        state = torch.zeros(1, model.config.language_model.hidden_size)
        model.decode_seg_states(state, embedding[None], torch.zeros(1, dtype=torch.long))


def _concurrent(model: GLaMM, *, num_images: int) -> tuple[Work, Work]:
    """Sixteen answers one after another, each alone, over sixteen at once."""
    requests = [request_of(model, seed=index % num_images, question=index) for index in range(16)]
    return (
        lambda: [_alone(model, request, CONCURRENT_TOKENS) for request in requests],
        lambda: _together(model, requests, CONCURRENT_TOKENS),
    )


def _together(model: GLaMM, requests: list[GenerationRequest], num_tokens: int) -> Result:
    engine = Engine(model)
    options = GenerationOptions(max_new_tokens=num_tokens, eos_token_id=-1)
    jobs = [engine.submit(request, options) for request in requests]
    return [_result(engine.wait(job)) for job in jobs]


def _alone(model: GLaMM, request: GenerationRequest, num_tokens: int) -> Answer:
    return _result(generate(model, request, max_new_tokens=num_tokens, eos_token_id=-1))


def _result(answer: Generation) -> Answer:
    return list(answer.token_ids), answer.mask_logits


@torch.inference_mode()
def _release(model: GLaMM, request: GenerationRequest, num_tokens: int) -> Answer:
    """Full computation for every token, all positions through the head, all states kept."""
    ids = request.input_ids
    states = torch.empty(0)
    for _ in range(num_tokens):
        features = model.encode_image(request.global_pixels[None])
        embeddings = embed_prompt(model, replace(request, input_ids=ids), features)
        states = model.language_model.model(
            inputs_embeds=embeddings, use_cache=False
        ).last_hidden_state
        logits = model.language_model.lm_head(states)
        ids = torch.cat([ids, logits[0, -1:].argmax(1)])
    start = states.shape[1] - num_tokens
    new = ids[-num_tokens:]
    chosen = states[0, start:][new == model.config.special_tokens.seg]
    if not len(chosen):
        return new.tolist(), torch.zeros(0, 1, 1)
    embedding = model.encode_grounding(request.grounding_pixels[None], (request.resized_size,))
    index = torch.zeros(len(chosen), dtype=torch.long)
    return new.tolist(), model.decode_seg_states(chosen, embedding, index)


def request_of(
    model: GLaMM, *, seed: int = 0, question: int = 0, has_region: bool = False
) -> GenerationRequest:
    """A prompt that takes PROMPT_POSITIONS, image included, or as near as `tiny` allows."""
    config = model.config
    length = max(48, PROMPT_POSITIONS - config.global_encoder.num_tokens)
    text = torch.randint(
        8, VOCAB_SIZE - 8, (length - 1,), generator=torch.Generator().manual_seed(question)
    )
    before = torch.full((8,), 7)
    ids = torch.cat([torch.tensor([1]), before, torch.tensor([IMAGE_PLACEHOLDER_ID]), text[8:]])
    if has_region:
        ids[-5] = config.special_tokens.bbox
    random = torch.Generator().manual_seed(seed)
    side, grounding = config.global_encoder.image_size, config.grounding_encoder.image_size
    return GenerationRequest(
        global_pixels=torch.randint(0, 256, (3, side, side), dtype=torch.uint8, generator=random),
        grounding_pixels=torch.randint(
            0, 256, (3, grounding, grounding), dtype=torch.uint8, generator=random
        ),
        resized_size=(grounding, grounding),
        original_size=(grounding, grounding),
        input_ids=ids,
        boxes_xyxy_unit=torch.tensor([[0.1, 0.2, 0.6, 0.9]] if has_region else []).view(-1, 4),
        image_key=str(seed).encode(),
    )


def say_seg_now_and_then(model: GLaMM) -> None:
    """Random weights hardly ever say [SEG]: about one state in eighteen does here, as in GranD-f."""
    seg = model.config.special_tokens.seg

    def prefer(_: torch.nn.Module, states: tuple[torch.Tensor], logits: torch.Tensor) -> None:
        is_seg = (states[0][..., 0] * 5).sin() > 0.985
        logits[..., seg] = logits.amax(-1) + torch.where(is_seg, 1.0, -9.0)

    model.language_model.lm_head.register_forward_hook(prefer)


if __name__ == "__main__":
    main()
