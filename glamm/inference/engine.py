"""Greedy generation with a key-value cache: every part of the model runs as seldom as possible."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from glamm.errors import RequestError
from glamm.models.glamm import GLaMM
from glamm.structures.answer import WorkCounters
from glamm.structures.batch import Batch
from glamm.structures.ids import IGNORE_LABEL
from glamm.typing import Size


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One question about one picture, preprocessed.

    Args:
        global_pixels: For the global encoder, RGB, before normalisation.
        grounding_pixels: For the grounding encoder, RGB, before normalisation, top left in its square.
        resized_size: (height, width) of the picture inside that square.
        original_size: (height, width) of the picture as the user has it; masks come back at it.
        input_ids: The prompt, with one IMAGE_PLACEHOLDER_ID.
        boxes_xyxy_unit: One box a `<bbox>` token, in order, xyxy in [0, 1].
    """

    global_pixels: UInt8[Tensor, "3 global_height global_width"]
    grounding_pixels: UInt8[Tensor, "3 side side"]
    resized_size: Size
    original_size: Size
    input_ids: Int[Tensor, " length"]
    boxes_xyxy_unit: Float[Tensor, "boxes 4"]


@dataclass(frozen=True, slots=True)
class Generation:
    """What the model answered.

    Args:
        token_ids: The new ids; the end token stays among them if it came.
        mask_logits: One float32 picture a [SEG] among `token_ids`, at the original size; above 0 is foreground.
        scores: For each mask, the mean probability of its foreground, 0 when it is empty.
        finish_reason: "stop" when the end token came, "length" when the limit did.
        counters: What it cost.
    """

    token_ids: tuple[int, ...]
    mask_logits: Float[Tensor, "masks height width"]
    scores: tuple[float, ...]
    finish_reason: str
    counters: WorkCounters


@dataclass(frozen=True, slots=True)
class Step:
    """One new token.

    Args:
        token_id: The most probable one.
        logits: Of the whole vocabulary.
        state: That the logits come from; for a [SEG] token this is what asks for the mask.
    """

    token_id: int
    logits: Float[Tensor, " vocabulary"]
    state: Float[Tensor, " hidden"]


@torch.inference_mode()
def generate(
    model: GLaMM,
    request: GenerationRequest,
    *,
    max_new_tokens: int,
    eos_token_id: int | None = None,
) -> Generation:
    """Answer greedily.

    The global encoder runs once, the language model once over the prompt and then one token at a time. The
    grounding encoder and the mask decoder run once, and only when a [SEG] came.

    Args:
        model: In evaluation mode.
        request: On the model's device.
        max_new_tokens: At least 1.
        eos_token_id: Ends the answer; None takes the model's own.

    Returns:
        Ids and masks.

    Raises:
        RequestError: The prompt is longer than the model can read.
        DataError: The prompt has not exactly one image placeholder, or not one box a `<bbox>`.
    """
    tokens = model.config.special_tokens
    end = tokens.eos if eos_token_id is None else eos_token_id
    embeddings = embed_prompt(model, request)
    steps = list(decode_steps(model, embeddings, max_new_tokens=max_new_tokens, eos_token_id=end))
    seg_states = [step.state for step in steps if step.token_id == tokens.seg]
    mask_logits = _decode_masks(model, request, seg_states)
    return Generation(
        token_ids=tuple(step.token_id for step in steps),
        mask_logits=mask_logits,
        scores=tuple(mask_score(logits) for logits in mask_logits),
        finish_reason="stop" if steps[-1].token_id == end else "length",
        counters=WorkCounters(
            global_encoder_calls=1,
            grounding_encoder_calls=int(bool(seg_states)),
            mask_decoder_calls=int(bool(seg_states)),
            prefill_tokens=embeddings.shape[1],
            decode_steps=len(steps) - 1,
        ),
    )


@torch.inference_mode()
def embed_prompt(model: GLaMM, request: GenerationRequest) -> Float[Tensor, "1 positions hidden"]:
    """Encode the picture once and put it and the regions into the prompt."""
    ids = request.input_ids[None]
    batch = Batch(
        global_pixels=request.global_pixels[None],
        grounding_pixels=None,
        input_ids=ids,
        labels=torch.full_like(ids, IGNORE_LABEL),
        attention_mask=torch.ones_like(ids, dtype=torch.bool),
        image_index=ids.new_zeros(1),
        boxes_xyxy_unit=(request.boxes_xyxy_unit,),
        masks=(),
        resized_sizes=(request.resized_size,),
        original_sizes=(request.original_size,),
        sample_ids=("request",),
    )
    return model.build_prompt(batch, model.encode_image(batch.global_pixels)).embeddings


@torch.inference_mode()
def decode_steps(
    model: GLaMM,
    embeddings: Float[Tensor, "1 positions hidden"],
    *,
    max_new_tokens: int,
    eos_token_id: int,
) -> Iterator[Step]:
    """Yield new tokens as they come; the end token is the last.

    Raises:
        RequestError: The prompt leaves no room for an answer.
    """
    limit = model.config.language_model.max_positions
    if embeddings.shape[1] >= limit:
        raise RequestError(
            f"the prompt takes {embeddings.shape[1]} of the model's {limit} positions, picture included: shorten it"
        )
    language = model.language_model
    cache = None
    for _ in range(min(max_new_tokens, limit - embeddings.shape[1])):
        output = language.model(inputs_embeds=embeddings, past_key_values=cache, use_cache=True)
        cache, state = output.past_key_values, output.last_hidden_state[0, -1]
        logits = language.lm_head(state)
        token = logits.argmax()
        step = Step(int(token), logits, state)
        yield step
        if step.token_id == eos_token_id:
            return
        embeddings = language.get_input_embeddings()(token)[None, None]


def mask_score(mask_logits: Float[Tensor, "height width"]) -> float:
    """Mean probability of a mask's foreground, 0 when it is empty."""
    foreground = mask_logits[mask_logits > 0]
    return float(foreground.sigmoid().mean()) if len(foreground) else 0.0


def _decode_masks(
    model: GLaMM, request: GenerationRequest, seg_states: list[Tensor]
) -> Float[Tensor, "masks height width"]:
    if not seg_states:
        return request.boxes_xyxy_unit.new_zeros((0, *request.original_size), dtype=torch.float32)
    return model.decode_masks(
        [torch.stack(seg_states)],
        request.grounding_pixels[None],
        [request.resized_size],
        [request.original_size],
    )[0]
