import pytest
import torch

from glamm.errors import DataError, RequestError
from glamm.inference.engine import generate
from glamm.inference.requests import Generation, GenerationRequest
from glamm.inference.session import mask_score
from glamm.models.glamm import GLaMM
from tests.builders.models import (
    BBOX,
    CONFIG,
    IMAGE_SIZES,
    RESIZED_SIZES,
    SEG,
    build_batch,
    build_model,
    build_request,
)

BOX = [[0.1, 0.2, 0.7, 0.9]]


def _always_seg(model: GLaMM) -> GLaMM:
    """The head prefers [SEG] in every state."""
    head = model.language_model.lm_head

    def prefer_seg(_: object, __: object, logits: torch.Tensor) -> torch.Tensor:
        preferred = logits.clone()
        preferred[..., SEG] += 1e4
        return preferred

    head.register_forward_hook(prefer_seg)
    return model


def _without_cache(model: GLaMM, request: GenerationRequest, count: int) -> list[int]:
    """Compute all positions again for every token, as the release does."""
    tokens = request.input_ids.tolist()[2:]
    for _ in range(count):
        batch = build_batch([tokens], image_index=[0], boxes={0: request.boxes_xyxy_unit.tolist()})
        inputs = model.build_inputs(batch, model.encode_image(batch.global_pixels))
        logits = model.language_model.lm_head(model.run_language_model(inputs)[0, -1])
        tokens.append(int(logits.argmax()))
    return tokens[-count:]


@pytest.mark.parametrize("seed", [0, 1, 3], ids=["seed 0", "seed 1", "seed 3"])
def test_answer_is_the_same_without_a_cache(seed: int) -> None:
    model = build_model(seed=seed)
    request = build_request([BBOX, 7, 8], boxes=BOX)

    answer = generate(model, request, max_new_tokens=8, eos_token_id=-1)

    with torch.no_grad():
        assert list(answer.token_ids) == _without_cache(model, request, 8)


def test_masks_equal_those_of_one_forward_pass() -> None:
    model = build_model()
    _always_seg(model)

    answer = generate(model, build_request([7]), max_new_tokens=3, eos_token_id=-1)

    assert answer.token_ids == (SEG, SEG, SEG)
    batch = build_batch([[7, SEG, SEG, SEG]], image_index=[0], num_masks=[3])
    with torch.no_grad():
        expected = model(batch).mask_logits[0]
    restored = model.restore_masks(
        answer.mask_logits, resized_size=RESIZED_SIZES[0], original_size=IMAGE_SIZES[0]
    )
    assert torch.allclose(restored, expected, atol=1e-4)


def _answer(model: GLaMM, tokens: list[int], **options: int) -> Generation:
    return generate(model, build_request(tokens), **options)


def test_grounding_encoder_does_not_run_without_a_seg_token() -> None:
    model = build_model()
    answer = _answer(model, [7], max_new_tokens=1, eos_token_id=-1)

    assert SEG not in answer.token_ids
    assert answer.counters.grounding_encoder_calls == 0
    assert answer.counters.mask_decoder_calls == 0
    assert len(answer.mask_logits) == 0


def test_every_encoder_runs_once_for_an_answer_of_any_length() -> None:
    model = _always_seg(build_model())
    calls = {"global_encoder": 0, "grounding_encoder": 0, "mask_decoder": 0}
    for name in calls:

        def count(*_: object, name: str = name) -> None:
            calls[name] += 1

        model.get_submodule(name).register_forward_hook(count)

    answer = _answer(model, [7, 8], max_new_tokens=5, eos_token_id=-1)

    assert calls == {"global_encoder": 1, "grounding_encoder": 1, "mask_decoder": 1}
    assert answer.counters.global_encoder_calls == 1
    assert answer.counters.prefill_tokens == 3 + CONFIG.global_encoder.num_tokens
    assert answer.counters.decode_steps == 4


def test_end_token_ends_the_answer_and_is_part_of_it() -> None:
    answer = _answer(_always_seg(build_model()), [7], max_new_tokens=5, eos_token_id=SEG)

    assert answer.token_ids == (SEG,)
    assert answer.finish_reason == "stop"
    assert len(answer.mask_logits) == 1


def test_limit_ends_the_answer() -> None:
    answer = _answer(build_model(), [7], max_new_tokens=4, eos_token_id=-1)

    assert len(answer.token_ids) == 4
    assert answer.finish_reason == "length"


def test_prompt_that_leaves_no_position_for_an_answer_is_refused() -> None:
    limit = CONFIG.language_model.max_positions

    with pytest.raises(RequestError, match=f"of the model's {limit} positions"):
        _answer(build_model(), [7] * limit, max_new_tokens=4)


def test_box_without_its_placeholder_is_refused() -> None:
    with pytest.raises(DataError, match="record request: 0 <bbox> tokens and 1 boxes"):
        generate(build_model(), build_request([7], boxes=BOX), max_new_tokens=2)


def test_score_is_the_mean_probability_of_the_foreground() -> None:
    assert mask_score(torch.tensor([[-3.0, 0.0], [2.0, 2.0]])) == pytest.approx(0.8808, abs=1e-4)
    assert mask_score(torch.full((2, 2), -1.0)) == 0.0
