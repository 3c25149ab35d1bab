"""What the engine receives, and what it returns."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from jaxtyping import Float, Int, UInt8
from torch import Tensor

from glamm.errors import RequestError
from glamm.structures.answer import WorkCounters
from glamm.typing import Size


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One question about one image, preprocessed and validated: the engine does not check its boxes again.

    Args:
        global_pixels: Input of the global encoder, RGB, before normalization.
        grounding_pixels: Input of the grounding encoder, RGB, before normalization, at the top left of its square.
        resized_size: (height, width) of the image inside that square.
        original_size: (height, width) of the original image.
        input_ids: The prompt, with one IMAGE_PLACEHOLDER_ID.
        boxes_xyxy_unit: One box per `<bbox>` token, in order: 0 <= x1 < x2 <= 1 and 0 <= y1 < y2 <= 1.
        image_key: Hash of all pixels. Requests with the same key share what was computed about the image; nothing is
            cached for None.

    Raises:
        RequestError: A box is out of its range.
    """

    global_pixels: UInt8[Tensor, "3 global_height global_width"]
    grounding_pixels: UInt8[Tensor, "3 side side"]
    resized_size: Size
    original_size: Size
    input_ids: Int[Tensor, " length"]
    boxes_xyxy_unit: Float[Tensor, "boxes 4"]
    image_key: bytes | None = None

    def __post_init__(self) -> None:
        boxes = self.boxes_xyxy_unit
        is_valid = (boxes[:, :2] < boxes[:, 2:]).all(1) & ((boxes >= 0) & (boxes <= 1)).all(1)
        if not is_valid.all():
            index = int((~is_valid).nonzero()[0])
            raise RequestError(
                f"box {index + 1} is {boxes[index].tolist()}: it must have 0 <= x1 < x2 <= 1 and 0 <= y1 < y2 <= 1"
            )


@dataclass(frozen=True, slots=True)
class GenerationOptions:
    """How tokens are chosen, and when an answer ends.

    Args:
        max_new_tokens: At least 1.
        eos_token_id: Ends the answer and is part of it; None takes the model's own.
        stop_token_ids: Further tokens that end the answer.
        should_stop: Called with all new ids after each token; True ends the answer.
        temperature: 0 is greedy.
        top_p: Sample from the most probable tokens whose probabilities add up to this value; above 0, at most 1.
        seed: Of the sampling; the same request with the same seed gives the same answer.
        stream_masks: Decode each mask as soon as its [SEG] is generated; False decodes all masks together at the end.

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
    """A token was generated.

    Args:
        token_id: In the model's vocabulary.
    """

    token_id: int


@dataclass(frozen=True, slots=True)
class NewMask:
    """A mask was decoded.

    Args:
        index: Index of the mask in the answer.
        logits: Before the sigmoid, on the padded square, with four times the side of the grounding embedding.
    """

    index: int
    logits: Float[Tensor, "low low"]


Event = NewToken | NewMask


@dataclass(frozen=True, slots=True)
class Generation:
    """The output of the model for one request.

    Args:
        token_ids: The new ids, including the end token if it was generated.
        mask_logits: One map per [SEG] among `token_ids`, as `NewMask.logits`; `GLaMM.restore_masks` resizes it to the
            original image.
        finish_reason: "stop" at the end token or a stop condition, "length" at the token limit, "cancelled".
        counters: The work that the request caused.
    """

    token_ids: tuple[int, ...]
    mask_logits: Float[Tensor, "masks low low"]
    finish_reason: str
    counters: WorkCounters
