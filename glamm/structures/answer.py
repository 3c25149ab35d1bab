"""What the model says about an image: words, phrases and their masks."""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool

from glamm.typing import Box, Size


@dataclass(frozen=True, slots=True)
class Phrase:
    """Words of an answer that are tied to a mask.

    Args:
        start: First code point in `GroundedAnswer.text`.
        end: One past the last.
        text: The words themselves.
        score: Mean foreground probability of the mask, 0 to 1; 0 for an empty mask.
        box: Tight x1, y1, x2, y2 around the mask in pixels; None for an empty mask.
    """

    start: int
    end: int
    text: str
    score: float
    box: Box | None


@dataclass(frozen=True, slots=True)
class WorkCounters:
    """What an answer cost, so that tests can assert it.

    Args:
        global_encoder_calls: Runs of the global image encoder.
        grounding_encoder_calls: Runs of the grounding encoder.
        mask_decoder_calls: Runs of the mask decoder.
        prefill_tokens: Positions run through the language model before the first new token.
        decode_steps: Single-token runs of the language model.
    """

    global_encoder_calls: int = 0
    grounding_encoder_calls: int = 0
    mask_decoder_calls: int = 0
    prefill_tokens: int = 0
    decode_steps: int = 0


@dataclass(frozen=True, slots=True)
class GroundedAnswer:
    """An answer about one image.

    Args:
        text: Plain words, without special tokens.
        phrases: One a mask, in the order of the words. A [SEG] without words has an empty range.
        masks: One boolean image a phrase, at the size of the image that was sent.
        image_size: (height, width) of that image.
        token_ids: The generated ids, the end token included if it came.
        finish_reason: "stop" when the model ended by itself, "length" when the token limit did.
        counters: What it cost.
    """

    text: str
    phrases: tuple[Phrase, ...]
    masks: Bool[np.ndarray, "masks height width"]
    image_size: Size
    token_ids: tuple[int, ...]
    finish_reason: str
    counters: WorkCounters = field(default_factory=WorkCounters)
