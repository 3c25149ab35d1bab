"""Questions about one image, answered whole or as the words come."""

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

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
from glamm.inference.image_io import ImageSource, Pixels, read_image
from glamm.inference.request_state import RequestState
from glamm.inference.requests import GenerationOptions, GenerationRequest, NewMask
from glamm.structures.answer import Phrase
from glamm.text.conversation import PROMPT_STYLES, build_prompt, prepare_question
from glamm.text.grounded import parse_grounded
from glamm.text.tokenizer import Tokenizer
from glamm.typing import Box, Size

DEFAULT_MAX_NEW_TOKENS = 256
"""A described scene takes about 80 tokens; a model that goes on for this long is repeating itself."""

MAX_MASK_PIXELS = 1_000_000_000
"""Masks of one answer, all pixels together: one byte each is what an answer may take of the memory."""


@dataclass(frozen=True, slots=True)
class TextDelta:
    """More words of a streamed answer.

    Args:
        text: To be put behind what came before.
    """

    text: str


@dataclass(frozen=True, slots=True, eq=False)
class GroundedPhrase:
    """A phrase of a streamed answer, with its mask.

    Args:
        index: Its place among the answer's phrases.
        phrase: Where it stands in the words.
        mask: At the image's size.
    """

    index: int
    phrase: Phrase
    mask: Bool[np.ndarray, "height width"]


class Session:
    """Questions about one image: what was computed for one is used again for the next.

    Args:
        engine: Answers.
        tokenizer: The model's.
        image: The image.

    Raises:
        RequestError: The image cannot be read.
    """

    def __init__(self, engine: Engine, tokenizer: Tokenizer, image: ImageSource) -> None:
        self._engine, self._tokenizer = engine, tokenizer
        self.image: Pixels = read_image(image)
        config = engine.model.config
        square, self._resized_size = grounding_pixels(
            self.image, side=config.grounding_encoder.image_size
        )
        overview = global_pixels(
            self.image,
            side=config.global_encoder.image_size,
            is_cropped=config.compat.crops_global_image,
        )
        digest = hashlib.sha256(overview.tobytes())
        digest.update(square.tobytes())
        digest.update(repr(self._resized_size).encode())
        self._key = digest.digest()
        self._overview = torch.from_numpy(overview).to(engine.device)
        self._square = torch.from_numpy(square).to(engine.device)

    @property
    def image_size(self) -> Size:
        """(height, width) of the upright image."""
        return self.image.shape[0], self.image.shape[1]

    def ask(
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
        """Ask about the image.

        Args:
            question: Plain words; `<bbox>` may stand where each box is meant.
            boxes: Regions that the question is about: x1, y1, x2, y2 in pixels of the upright image.
            max_new_tokens: When to stop a model that does not stop by itself; at least 1.
            stop: The answer ends where one of these comes up in its words, and keeps it.
            temperature: 0 takes the most probable words; higher draws from all.
            top_p: Draw only from the most probable tokens that together reach this probability.
            seed: Of the draws.

        Returns:
            Words, phrases and one mask a phrase. No phrase at all means that nothing was grounded.

        Raises:
            RequestError: A box lies outside the image, the question is empty or too long, a number is out of range,
                or the masks would not fit in the memory.
            BusyError: Too many questions wait.
        """
        options = GenerationOptions(
            max_new_tokens=max_new_tokens,
            should_stop=_stop_condition(self._tokenizer, stop),
            temperature=temperature,
            top_p=top_p,
            seed=seed,
        )
        job = self._engine.submit(self._request(question, boxes), options)
        self._engine.wait(job)
        return self._answer(job)

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
        """Ask, and see the answer as it comes; whoever stops listening ends it.

        Args:
            question: As in `ask`, like all others.
            boxes: Regions.
            max_new_tokens: Limit.
            stop: Words that end the answer.
            temperature: 0 is greedy.
            top_p: Probability to draw from.
            seed: Of the draws.

        Yields:
            Words as they come, each phrase with its mask as soon as it is decoded, and the whole answer at the end.

        Raises:
            RequestError: As `ask`.
            BusyError: As `ask`.
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

    def _events(self, job: RequestState) -> Iterator[TextDelta | GroundedPhrase | Answer]:
        token_ids: list[int] = []
        said = ""
        try:
            for event in self._engine.events(job):
                if isinstance(event, NewMask):
                    words = parse_grounded(self._tokenizer.decode(token_ids))
                    phrase, mask = self._phrase(words.text, words.ranges[event.index], event.logits)
                    yield GroundedPhrase(event.index, phrase, mask)
                    continue
                token_ids.append(event.token_id)
                # the last piece may still be half a character, or a blank that the end takes away
                text = parse_grounded(self._tokenizer.decode(token_ids)).text.rstrip(" \ufffd")
                if len(text) > len(said) and text.startswith(said):
                    yield TextDelta(text[len(said) :])
                    said = text
        finally:
            self._engine.cancel(job)  # does nothing when it is done
        answer = self._answer(job)
        if len(answer.text) > len(said):
            yield TextDelta(answer.text[len(said) :])
        yield answer

    def _request(self, question: str, boxes: Sequence[Sequence[float | int]]) -> GenerationRequest:
        size, device = self.image_size, self._engine.device
        regions = [_checked_box(box, index, size=size) for index, box in enumerate(boxes, start=1)]
        ids = self._encode(prepare_question(_checked_text(question), num_boxes=len(regions)))
        units = [to_unit(box, size=size) for box in regions]
        return GenerationRequest(
            global_pixels=self._overview,
            grounding_pixels=self._square,
            resized_size=self._resized_size,
            original_size=size,
            input_ids=torch.tensor(ids, device=device),
            boxes_xyxy_unit=torch.tensor(units, dtype=torch.float32, device=device).reshape(-1, 4),
            image_key=self._key,
        )

    def _encode(self, question: str) -> tuple[int, ...]:
        """Tokens of the prompt.

        Raises:
            RequestError: They leave no room for an answer.
        """
        config = self._engine.model.config
        prompt = build_prompt(question, style=PROMPT_STYLES[config.prompt_style])
        ids = self._tokenizer.encode(prompt).ids
        num_positions = len(ids) - 1 + config.global_encoder.num_tokens
        limit = config.language_model.max_positions
        if num_positions >= limit:
            raise RequestError(
                f"the question takes {num_positions} of the model's {limit} positions, image included, and leaves no "
                "room for an answer: shorten it"
            )
        return ids

    def _answer(self, job: RequestState) -> Answer:
        generation = job.generation()
        size, count = self.image_size, len(generation.mask_logits)
        if count * size[0] * size[1] > MAX_MASK_PIXELS:
            raise RequestError(
                f"the answer has {count} masks of {size[1]} x {size[0]} pixels, together more than {MAX_MASK_PIXELS:,}: "
                "send a smaller image"
            )
        words = parse_grounded(self._tokenizer.decode(generation.token_ids))
        masks = np.zeros((count, *size), dtype=bool)
        phrases: list[Phrase] = []
        for index, (place, logits) in enumerate(
            zip(words.ranges, generation.mask_logits, strict=True)
        ):
            phrase, masks[index] = self._phrase(words.text, place, logits)
            phrases.append(phrase)
        return Answer(
            text=words.text,
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
        self, text: str, place: tuple[int, int], logits: Tensor
    ) -> tuple[Phrase, Bool[np.ndarray, "height width"]]:
        """Bring one mask to the image's size.

        In two steps as `restore_masks`, but logits of 50 million pixels are held for one mask and not for all.
        """
        resized = self._engine.model.restore_masks(
            logits[None], resized_size=self._resized_size, original_size=self._resized_size
        )
        full = functional.interpolate(resized[None], self.image_size, mode="bilinear")[0, 0]
        mask = (full > 0).cpu().numpy()
        start, end = place
        return Phrase(start, end, text[start:end], mask_score(full), to_box(mask)), mask


@dataclass(frozen=True, slots=True)
class StopWords:
    """Whether one of some words came up in an answer.

    Args:
        tokenizer: Of the model.
        words: Any of them ends the answer.
    """

    tokenizer: Tokenizer
    words: tuple[str, ...]

    def __call__(self, token_ids: Sequence[int]) -> bool:
        """True when one did."""
        text = parse_grounded(self.tokenizer.decode(list(token_ids))).text
        return any(word in text for word in self.words)


def _stop_condition(tokenizer: Tokenizer, stop: Sequence[str]) -> StopWords | None:
    if "" in stop:
        raise RequestError("an empty stop word would end every answer before it begins")
    return StopWords(tokenizer, tuple(stop)) if stop else None


def mask_score(mask_logits: Tensor) -> float:
    """Mean probability of a mask's foreground, 0 when it is empty."""
    foreground = mask_logits[mask_logits > 0]
    return float(foreground.sigmoid().mean()) if len(foreground) else 0.0


def _checked_text(question: str) -> str:
    try:
        question.encode()
    except UnicodeEncodeError as error:
        raise RequestError("the question holds bytes that are not UTF-8 text") from error
    return question


def _checked_box(box: Sequence[float | int], number: int, *, size: Size) -> Box:
    """Make sure that a region is one.

    Raises:
        RequestError: Not four finite numbers, no area, or outside the image.
    """
    if len(box) != 4:
        raise RequestError(f"box {number} has {len(box)} numbers, it needs 4: x1, y1, x2, y2")
    x1, y1, x2, y2 = (float(value) for value in box)
    shown = ", ".join(f"{value:g}" for value in (x1, y1, x2, y2))
    if not all(map(math.isfinite, (x1, y1, x2, y2))):
        raise RequestError(f"box {number} ({shown}) has a value that is no number")
    if x1 >= x2 or y1 >= y2:
        raise RequestError(
            f"box {number} ({shown}) has no area: x1 < x2 and y1 < y2 are needed, in pixels"
        )
    if not is_inside((x1, y1, x2, y2), size=size):
        raise RequestError(
            f"box {number} ({shown}) reaches outside the image, which is {size[1]} x {size[0]} pixels"
        )
    return x1, y1, x2, y2
