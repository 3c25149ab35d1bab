"""A session: questions about one image, answered at once or as a stream."""

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from numbers import Real

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor
from torch.nn import functional

from glamm.errors import RequestError
from glamm.geometry.boxes import is_inside, to_unit
from glamm.geometry.masks import to_box
from glamm.geometry.preprocess import global_pixels, grounding_pixels
from glamm.inference.answer import Answer
from glamm.inference.engine import Engine
from glamm.inference.engine_options import DEFAULT_MAX_NEW_TOKENS
from glamm.inference.image_io import ImageSource, Pixels, read_image
from glamm.inference.request_state import GenerationHandle
from glamm.inference.requests import (
    Generation,
    GenerationOptions,
    GenerationRequest,
    NewMask,
)
from glamm.structures.answer import Phrase
from glamm.text.conversation import PROMPT_STYLES, build_prompt, prepare_question
from glamm.text.grounded import parse_grounded
from glamm.text.tokenizer import Tokenizer
from glamm.typing import Box, Size

MAX_MASK_PIXELS = 1_000_000_000
"""Pixels of all masks of one answer together; each takes one byte of memory."""


@dataclass(frozen=True, slots=True)
class TextDelta:
    """More text of a streamed answer.

    Args:
        text: To be appended to the text before it.
    """

    text: str


@dataclass(frozen=True, slots=True, eq=False)
class GroundedPhrase:
    """A phrase of a streamed answer, with its mask.

    Args:
        index: Index among the answer's phrases.
        phrase: Its range in the answer's text, and a summary of its mask.
        mask: True inside the phrase's object, at the size of the image.
    """

    index: int
    phrase: Phrase
    mask: Bool[np.ndarray, "height width"]


class Session:
    """Answers questions about one image; later questions reuse what was computed for earlier ones.

    Args:
        engine: Runs the model.
        tokenizer: The one that the model was trained with.
        image: A path, the bytes of a file, a PIL image, or RGB as uint8 (height, width, 3).

    Raises:
        RequestError: The image cannot be read.
    """

    def __init__(self, engine: Engine, tokenizer: Tokenizer, image: ImageSource) -> None:
        self._engine, self._tokenizer = engine, tokenizer
        self.image: Pixels = read_image(image)
        config = engine.model.config
        grounding, self._resized_size = grounding_pixels(
            self.image, side=config.grounding_encoder.image_size
        )
        global_input = global_pixels(
            self.image,
            side=config.global_encoder.image_size,
            is_cropped=config.compat.crops_global_image,
        )
        digest = hashlib.sha256(global_input.tobytes())
        digest.update(grounding.tobytes())
        digest.update(repr(self._resized_size).encode())
        self._image_key = digest.digest()
        self._global_pixels = torch.from_numpy(global_input).to(engine.device)
        self._grounding_pixels = torch.from_numpy(grounding).to(engine.device)

    @property
    def image_size(self) -> Size:
        """(height, width) of the upright image."""
        return self.image.shape[0], self.image.shape[1]

    def answer(
        self,
        question: str,
        *,
        boxes: Sequence[Sequence[float | int]] = (),
        max_new_tokens: int = DEFAULT_MAX_NEW_TOKENS,
        stop: Sequence[str] = (),
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int = 0,
    ) -> Answer:
        """Answer a question about the image.

        Args:
            question: Plain text; `<bbox>` marks where each box is mentioned.
            boxes: Regions that the question is about: x1, y1, x2, y2 in pixels of the upright image.
            max_new_tokens: Limit of the answer's length, at least 1.
            stop: A text, or several: the answer ends as soon as it contains one of them, and includes it.
            temperature: 0 always takes the most probable token; higher values sample.
            top_p: Sample only from the most probable tokens whose probabilities add up to this value.
            seed: Of the sampling.

        Returns:
            Text, phrases and one mask per phrase; without phrases nothing was grounded.

        Raises:
            RequestError: A box lies outside the image, the question is empty or too long, a number is out of range,
                or the masks would need too much memory.
            BusyError: Too many questions are waiting.
        """
        options = GenerationOptions(
            max_new_tokens=max_new_tokens,
            should_stop=_stop_condition(self._tokenizer, stop),
            temperature=temperature,
            top_p=top_p,
            seed=seed,
        )
        handle = self._engine.submit(self._request(question, boxes), options)
        return self._to_answer(handle.result())

    def stream(
        self,
        question: str,
        *,
        boxes: Sequence[Sequence[float | int]] = (),
        max_new_tokens: int = DEFAULT_MAX_NEW_TOKENS,
        stop: Sequence[str] = (),
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int = 0,
    ) -> Iterator[TextDelta | GroundedPhrase | Answer]:
        """Answer a question step by step; closing the iterator cancels the answer.

        Args:
            question: This argument and all others are those of `answer`.
            boxes: As `answer`.
            max_new_tokens: As `answer`.
            stop: As `answer`.
            temperature: As `answer`.
            top_p: As `answer`.
            seed: As `answer`.

        Yields:
            Text as it is generated, each phrase as soon as its mask is decoded, and the complete answer at the end.

        Raises:
            RequestError: As `answer`.
            BusyError: As `answer`.
        """
        options = GenerationOptions(
            max_new_tokens=max_new_tokens,
            should_stop=_stop_condition(self._tokenizer, stop),
            temperature=temperature,
            top_p=top_p,
            seed=seed,
            stream_masks=True,
        )
        return self._events(self._engine.submit(self._request(question, boxes), options))

    def _events(self, handle: GenerationHandle) -> Iterator[TextDelta | GroundedPhrase | Answer]:
        token_ids: list[int] = []
        streamed = ""
        try:
            for event in handle.events():
                if isinstance(event, NewMask):
                    parsed = parse_grounded(self._tokenizer.decode(token_ids))
                    phrase, mask = self._phrase(
                        parsed.text, parsed.ranges[event.index], event.logits
                    )
                    yield GroundedPhrase(event.index, phrase, mask)
                    continue
                token_ids.append(event.token_id)
                # the end may be half a character, or a blank that is removed before punctuation
                text = parse_grounded(self._tokenizer.decode(token_ids)).text.rstrip(" \ufffd")
                if len(text) > len(streamed) and text.startswith(streamed):
                    yield TextDelta(text[len(streamed) :])
                    streamed = text
        finally:
            handle.cancel()  # has no effect on a finished answer
        answer = self._to_answer(handle.result())
        if len(answer.text) > len(streamed):
            yield TextDelta(answer.text[len(streamed) :])
        yield answer

    def _request(self, question: str, boxes: Sequence[Sequence[float | int]]) -> GenerationRequest:
        size, device = self.image_size, self._engine.device
        regions = [_checked_box(box, index, size=size) for index, box in enumerate(boxes, start=1)]
        prepared = prepare_question(_checked_text(question), num_boxes=len(regions))
        style = PROMPT_STYLES[self._engine.model.config.prompt_style]
        ids = self._tokenizer.encode(build_prompt(prepared, style=style)).ids
        units = [to_unit(box, size=size) for box in regions]
        return GenerationRequest(
            global_pixels=self._global_pixels,
            grounding_pixels=self._grounding_pixels,
            resized_size=self._resized_size,
            original_size=size,
            input_ids=torch.tensor(ids, device=device),
            boxes_xyxy_unit=torch.tensor(units, dtype=torch.float32, device=device).reshape(-1, 4),
            image_key=self._image_key,
        )

    def _to_answer(self, generation: Generation) -> Answer:
        size, count = self.image_size, len(generation.mask_logits)
        if count * size[0] * size[1] > MAX_MASK_PIXELS:
            raise RequestError(
                f"the answer has {count} masks of {size[1]} x {size[0]} pixels, together more than {MAX_MASK_PIXELS:,}: "
                "send a smaller image"
            )
        parsed = parse_grounded(self._tokenizer.decode(generation.token_ids))
        masks = np.zeros((count, *size), dtype=bool)
        phrases: list[Phrase] = []
        for index, (span, logits) in enumerate(
            zip(parsed.ranges, generation.mask_logits, strict=True)
        ):
            phrase, masks[index] = self._phrase(parsed.text, span, logits)
            phrases.append(phrase)
        return Answer(
            text=parsed.text,
            phrases=tuple(phrases),
            masks=masks,
            mask_logits=generation.mask_logits.float().cpu().numpy(),
            image_size=size,
            token_ids=generation.token_ids,
            finish_reason=generation.finish_reason,
            counters=generation.counters,
            image=self.image,
        )

    def _phrase(
        self, text: str, span: tuple[int, int], logits: Tensor
    ) -> tuple[Phrase, Bool[np.ndarray, "height width"]]:
        """Resize one mask to the image.

        The two steps of `restore_masks`, but for one mask at a time: the logits of an image of 50 million pixels are
        large.
        """
        resized = self._engine.model.restore_masks(
            logits[None], resized_size=self._resized_size, original_size=self._resized_size
        )
        full = functional.interpolate(resized[None], self.image_size, mode="bilinear")[0, 0]
        mask = (full > 0).cpu().numpy()
        start, end = span
        return Phrase(start, end, text[start:end], mask_score(full), to_box(mask)), mask


@dataclass(frozen=True, slots=True)
class StopStrings:
    """A stop condition: whether an answer's text contains one of some strings.

    Args:
        tokenizer: The one that the model was trained with.
        strings: Any of them ends the answer.
    """

    tokenizer: Tokenizer
    strings: tuple[str, ...]

    def __call__(self, token_ids: Sequence[int]) -> bool:
        """Whether the text of these tokens contains one."""
        text = parse_grounded(self.tokenizer.decode(list(token_ids))).text
        return any(string in text for string in self.strings)


def _stop_condition(tokenizer: Tokenizer, stop: Sequence[str]) -> StopStrings | None:
    strings = (stop,) if isinstance(stop, str) else tuple(stop)
    if "" in strings:
        raise RequestError("an empty stop string would end every answer before it begins")
    return StopStrings(tokenizer, strings) if strings else None


def mask_score(mask_logits: Tensor) -> float:
    """Mean probability of a mask's foreground; 0 for an empty mask."""
    foreground = mask_logits[mask_logits > 0]
    return float(foreground.sigmoid().mean()) if len(foreground) else 0.0


def _checked_text(question: str) -> str:
    try:
        question.encode()
    except UnicodeEncodeError as error:
        raise RequestError("the question contains bytes that are not UTF-8 text") from error
    return question


def _checked_box(box: Sequence[float | int], number: int, *, size: Size) -> Box:
    """Check a box of the user.

    Raises:
        RequestError: It is not four finite numbers, has no area, or reaches outside the image.
    """
    x1, y1, x2, y2 = _four_numbers(box, number)
    text = ", ".join(f"{value:g}" for value in (x1, y1, x2, y2))
    if not all(map(math.isfinite, (x1, y1, x2, y2))):
        raise RequestError(f"box {number} ({text}) has a value that is not a finite number")
    if x1 >= x2 or y1 >= y2:
        raise RequestError(
            f"box {number} ({text}) has no area: x1 < x2 and y1 < y2 are needed, in pixels"
        )
    if not is_inside((x1, y1, x2, y2), size=size):
        raise RequestError(
            f"box {number} ({text}) reaches outside the image, which is {size[1]} x {size[0]} pixels"
        )
    return x1, y1, x2, y2


def _four_numbers(box: object, number: int) -> Box:
    """The numbers of a box; a single box given in place of a list of boxes is refused, and so is text."""
    if not isinstance(box, Sequence | np.ndarray) or isinstance(box, str):
        raise RequestError(f"box {number} is {box!r}: boxes must be a list of [x1, y1, x2, y2]")
    if len(box) != 4:
        raise RequestError(f"box {number} has {len(box)} numbers, it needs 4: x1, y1, x2, y2")
    if not all(isinstance(value, Real) and not isinstance(value, bool) for value in box):
        raise RequestError(f"box {number} ({list(box)}) must hold numbers: x1, y1, x2, y2")
    x1, y1, x2, y2 = (float(value) for value in box)
    return x1, y1, x2, y2
