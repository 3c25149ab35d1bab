"""What the engine is asked, and what it says."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from jaxtyping import Float, Int, UInt8
from torch import Tensor

from glamm.errors import RequestError
from glamm.structures.answer import WorkCounters
from glamm.typing import Size


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One question about one image, preprocessed.

    Args:
        global_pixels: For the global encoder, RGB, before normalisation.
        grounding_pixels: For the grounding encoder, RGB, before normalisation, top left in its square.
        resized_size: (height, width) of the image inside that square.
        original_size: (height, width) of the image as the user has it.
        input_ids: The prompt, with one IMAGE_PLACEHOLDER_ID.
        boxes_xyxy_unit: One box a `<bbox>` token, in order, xyxy in [0, 1].
        image_key: Hash of all pixels: what was computed about an image is used again for the same key. None keeps
            nothing.
    """

    global_pixels: UInt8[Tensor, "3 global_height global_width"]
    grounding_pixels: UInt8[Tensor, "3 side side"]
    resized_size: Size
    original_size: Size
    input_ids: Int[Tensor, " length"]
    boxes_xyxy_unit: Float[Tensor, "boxes 4"]
    image_key: bytes | None = None


@dataclass(frozen=True, slots=True)
class GenerationOptions:
    """How an answer is chosen, and when it ends.

    Args:
        max_new_tokens: At least 1.
        eos_token_id: Ends the answer and stays in it; None takes the model's own.
        stop_token_ids: Further ones that do.
        should_stop: Is shown all new ids after each token; True ends the answer.
        temperature: 0 is greedy.
        top_p: Draw from the most probable tokens that together reach this probability, above 0 and up to 1.
        seed: Of the draws; the same request with the same seed gives the same answer.
        stream_masks: Decode each mask as soon as its [SEG] came; False decodes all at the end, in one run.

    Raises:
        RequestError: A value is out of its range.
    """

    max_new_tokens: int
    eos_token_id: int | None = None
    stop_token_ids: frozenset[int] = frozenset()
    should_stop: Callable[[Sequence[int]], bool] | None = None
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    stream_masks: bool = False

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            raise RequestError(f"max_new_tokens is {self.max_new_tokens}, it must be at least 1")
        if not 0 <= self.temperature <= 100:
            raise RequestError(f"temperature is {self.temperature}, it must be from 0 to 100")
        if not 0 < self.top_p <= 1:
            raise RequestError(f"top_p is {self.top_p}, it must be above 0 and at most 1")
        if not 0 <= self.seed < 2**63:
            raise RequestError(f"seed is {self.seed}, it must be from 0 to 2^63 - 1")


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token came.

    Args:
        token_id: Its id.
    """

    token_id: int


@dataclass(frozen=True, slots=True)
class NewMask:
    """A mask was decoded.

    Args:
        index: Its place among the answer's masks.
        logits: On the padded square, at four times the grounding encoder's grid.
    """

    index: int
    logits: Float[Tensor, "low low"]


Event = NewToken | NewMask


@dataclass(frozen=True, slots=True)
class Generation:
    """What the model answered.

    Args:
        token_ids: The new ids; the end token stays among them if it came.
        mask_logits: One image a [SEG] among `token_ids`, on the padded square at four times the grounding encoder's
            grid, as the mask decoder gave it; `GLaMM.restore_masks` brings it to the image's size.
        finish_reason: "stop" when the end token or a stop condition came, "length" when the limit did, "cancelled".
        counters: What it cost.
    """

    token_ids: tuple[int, ...]
    mask_logits: Float[Tensor, "masks low low"]
    finish_reason: str
    counters: WorkCounters
