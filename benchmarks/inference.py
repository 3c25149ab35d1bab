"""Time of the engine and of the release's algorithm, alternately, in one process, on the same weights.

The release's algorithm computes everything again for every new token: the global encoder, the projector, the region
encoder, the whole language model with its head at all positions; then the grounding encoder and the mask decoder.
It is implemented here with our modules, so that only the algorithm differs. Ids and masks must be equal.

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
"""The default limit of an answer's length."""

Answer = tuple[list[int], torch.Tensor]
"""New ids, and mask logits."""

Result = list[Answer]
Work = Callable[[], Result]


def main() -> None:
    """Run every workload and print the ratios of times with their spread."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--size", choices=["tiny", "small"], default="small")
    parser.add_argument(
        "--threads", type=int, help="default: 1 for a single answer, 2 for sixteen at once"
    )
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument(
        "--works", default="all", help="names of workloads, separated by commas, or all"
    )
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = GLaMM.from_config(ModelConfig.of_size(options.size, vocab_size=VOCAB_SIZE)).eval()
    generate_seg_sometimes(model)
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
        numerator, denominator = works[name]()
        ratios = [_ratio(numerator, denominator) for _ in range(options.repeats)]
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


def _ratio(numerator: Work, denominator: Work) -> float:
    """Ratio of the times of two workloads, whose results must be equal."""
    expected, numerator_seconds = _timed(numerator)
    results, denominator_seconds = _timed(denominator)
    for (ids, masks), (other_ids, other_masks) in zip(expected, results, strict=True):
        if ids != other_ids:
            raise SystemExit("the generated ids differ")
        if not torch.allclose(masks, other_masks, atol=1e-3):
            raise SystemExit("the masks differ")
    return numerator_seconds / denominator_seconds


def _timed(work: Work) -> tuple[Result, float]:
    start = time.perf_counter()
    result = work()
    return result, time.perf_counter() - start


def _answer(model: GLaMM, num_tokens: int, *, has_region: bool = False) -> tuple[Work, Work]:
    """Time of the release's algorithm divided by that of the engine."""
    request = request_of(model, has_region=has_region)
    _alone(model, request, 2)  # warm-up
    return (
        lambda: [_release(model, request, num_tokens)],
        lambda: [_alone(model, request, num_tokens)],
    )


def _second_question(model: GLaMM) -> tuple[Work, Work]:
    """Time of a second question divided by that of the first, both without decode steps."""
    options = GenerationOptions(max_new_tokens=1, eos_token_id=-1)
    first = request_of(model)
    question = torch.randint(8, VOCAB_SIZE - 8, (40,))
    second = replace(first, input_ids=torch.cat([first.input_ids[:-40], question]))
    engine = Engine(model)

    def answer_first() -> Result:
        engine.cache.clear()
        engine.answer(first, options)
        _mask(model, first, engine)
        return []

    def answer_second() -> Result:
        engine.answer(second, options)
        _mask(model, second, engine)
        return []

    answer_first()
    return answer_second, answer_first


def _mask(model: GLaMM, request: GenerationRequest, engine: Engine) -> None:
    """Add one mask to a question: random weights may not generate a [SEG] in time."""
    key = ("grounding", request.image_key)
    with torch.inference_mode():
        embedding = engine.cache.get(key)
        if embedding is None:
            pixels, sizes = request.grounding_pixels[None], (request.resized_size,)
            embedding = model.encode_grounding(pixels, sizes)[0]
            engine.cache[key] = embedding
        state = torch.zeros(1, model.config.language_model.hidden_size)
        model.decode_seg_states(state, embedding[None], torch.zeros(1, dtype=torch.long))


def _concurrent(model: GLaMM, *, num_images: int) -> tuple[Work, Work]:
    """Time of sixteen answers one after another divided by that of sixteen at once."""
    requests = [request_of(model, seed=index % num_images, question=index) for index in range(16)]
    return (
        lambda: [_alone(model, request, CONCURRENT_TOKENS) for request in requests],
        lambda: _together(model, requests, CONCURRENT_TOKENS),
    )


def _together(model: GLaMM, requests: list[GenerationRequest], num_tokens: int) -> Result:
    engine = Engine(model)
    options = GenerationOptions(max_new_tokens=num_tokens, eos_token_id=-1)
    handles = [engine.submit(request, options) for request in requests]
    return [_result(handle.result()) for handle in handles]


def _alone(model: GLaMM, request: GenerationRequest, num_tokens: int) -> Answer:
    return _result(generate(model, request, max_new_tokens=num_tokens, eos_token_id=-1))


def _result(answer: Generation) -> Answer:
    return list(answer.token_ids), answer.mask_logits


@torch.inference_mode()
def _release(model: GLaMM, request: GenerationRequest, num_tokens: int) -> Answer:
    """Compute all positions again for every token, with the head at all positions."""
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
    seg_states = states[0, start:][new == model.config.special_tokens.seg]
    if not len(seg_states):
        return new.tolist(), torch.zeros(0, 1, 1)
    embedding = model.encode_grounding(request.grounding_pixels[None], (request.resized_size,))
    index = torch.zeros(len(seg_states), dtype=torch.long)
    return new.tolist(), model.decode_seg_states(seg_states, embedding, index)


def request_of(
    model: GLaMM, *, seed: int = 0, question: int = 0, has_region: bool = False
) -> GenerationRequest:
    """A request whose prompt takes PROMPT_POSITIONS, image included, or as many as `tiny` allows."""
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


def generate_seg_sometimes(model: GLaMM) -> None:
    """Make about one token in eighteen a [SEG], as in GranD-f; random weights hardly ever generate it."""
    seg = model.config.special_tokens.seg

    def prefer(_: torch.nn.Module, states: tuple[torch.Tensor], logits: torch.Tensor) -> None:
        is_seg = (states[0][..., 0] * 5).sin() > 0.985
        logits[..., seg] = logits.amax(-1) + torch.where(is_seg, 1.0, -9.0)

    model.language_model.lm_head.register_forward_hook(prefer)


if __name__ == "__main__":
    main()
