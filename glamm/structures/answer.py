"""The answer of the model about an image: text, phrases and their masks."""

from dataclasses import astuple, dataclass, field

import numpy as np
from jaxtyping import Bool

from glamm.typing import Box, Size


@dataclass(frozen=True, slots=True)
class Phrase:
    """A phrase of an answer, grounded by a mask.

    Args:
        start: Index of its first code point in `GroundedAnswer.text`.
        end: Index after its last code point; equals `start` for a mask without a phrase.
        text: `GroundedAnswer.text[start:end]`.
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
    """How often each part of the model ran for an answer.

    Args:
        global_encoder_calls: Runs of the global image encoder.
        grounding_encoder_calls: Runs of the grounding encoder.
        mask_decoder_calls: Runs of the mask decoder.
        prefill_tokens: Positions that the language model processed before the first new token.
        decode_steps: Single-token runs of the language model.
    """

    global_encoder_calls: int = 0
    grounding_encoder_calls: int = 0
    mask_decoder_calls: int = 0
    prefill_tokens: int = 0
    decode_steps: int = 0

    def __add__(self, other: "WorkCounters") -> "WorkCounters":
        """The work of both."""
        return WorkCounters(*map(sum, zip(astuple(self), astuple(other), strict=True)))


@dataclass(frozen=True, slots=True)
class GroundedAnswer:
    """An answer about one image.

    Args:
        text: Without special tokens.
        phrases: One for each mask, in the order of the text. A [SEG] token without a phrase has an empty range.
        masks: One for each phrase, at `image_size`.
        image_size: (height, width) of the image in the request.
        token_ids: The generated ids, with the end token if the model generated it.
        finish_reason: "stop" if the model generated the end token, "length" if the token limit ended the answer.
        counters: Cost of the answer.
    """

    text: str
    phrases: tuple[Phrase, ...]
    masks: Bool[np.ndarray, "masks height width"]
    image_size: Size
    token_ids: tuple[int, ...]
    finish_reason: str
    counters: WorkCounters = field(default_factory=WorkCounters)
