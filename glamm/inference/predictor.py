"""Ask a trained model about a picture: the front door of the library."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from glamm.checkpoints import load_model
from glamm.checkpoints.store import TOKENIZER_FILE
from glamm.config.model import ModelConfig
from glamm.errors import CheckpointError, RequestError
from glamm.geometry.boxes import is_inside, to_unit
from glamm.geometry.masks import to_box
from glamm.geometry.preprocess import global_pixels, grounding_pixels
from glamm.inference.answer import Answer
from glamm.inference.engine import Generation, GenerationRequest, generate, mask_score
from glamm.inference.images import ImageSource, Pixels, read_image
from glamm.models.glamm import GLaMM
from glamm.structures.answer import Phrase
from glamm.text.conversation import PROMPT_STYLES, build_prompt, check_question
from glamm.text.grounded import parse_grounded
from glamm.text.tokenizer import Tokenizer
from glamm.typing import Box, Size

DEFAULT_MAX_NEW_TOKENS = 256
"""A described scene takes about 80 tokens; a model that goes on for this long is repeating itself."""

MAX_MASK_PIXELS = 1_000_000_000
"""Masks of one answer, all pixels together: one byte each is what an answer may take of the memory."""


class GroundedPredictor:
    """Answers questions about pictures in words and masks.

    Args:
        model: In evaluation mode.
        tokenizer: The one that it was trained with.

    Raises:
        CheckpointError: Model and tokenizer have different vocabularies.
    """

    def __init__(self, model: GLaMM, tokenizer: Tokenizer) -> None:
        expected = model.config.language_model.vocab_size
        if len(tokenizer) > expected:
            raise CheckpointError(
                f"the tokenizer has {len(tokenizer)} tokens, the model {expected}: they belong to different models"
            )
        self.model = model
        self.tokenizer = tokenizer

    @classmethod
    def from_checkpoint(
        cls, folder: Path | str, *, device: torch.device | str = "cpu"
    ) -> "GroundedPredictor":
        """Load a model folder that `glamm train` or `glamm convert` wrote.

        Raises:
            CheckpointError: A file is missing or damaged; the message names it.
        """
        model, _ = load_model(Path(folder), device)
        return cls(model, Tokenizer.from_file(Path(folder) / TOKENIZER_FILE))

    @property
    def config(self) -> ModelConfig:
        """Sizes and switches of the model."""
        return self.model.config

    def ground(
        self,
        image: ImageSource,
        question: str,
        *,
        boxes: Sequence[Sequence[float | int]] = (),
        max_new_tokens: int = DEFAULT_MAX_NEW_TOKENS,
    ) -> Answer:
        """Ask about a picture.

        Args:
            image: A path, the bytes of a file, a PIL picture, or RGB as uint8 (height, width, 3).
            question: Plain words; `<bbox>` may stand where each box is meant.
            boxes: Regions that the question is about: x1, y1, x2, y2 in pixels of the upright picture.
            max_new_tokens: When to stop a model that does not stop by itself; at least 1.

        Returns:
            Words, phrases and one mask a phrase. No phrase at all means that nothing was grounded.

        Raises:
            RequestError: The picture cannot be read, a box lies outside it, the question is empty or too long, or
                the masks would not fit in the memory.
        """
        pixels = read_image(image)
        size = pixels.shape[0], pixels.shape[1]
        if max_new_tokens < 1:
            raise RequestError(f"max_new_tokens is {max_new_tokens}, it must be at least 1")
        regions = [_checked_box(box, index, size=size) for index, box in enumerate(boxes, start=1)]
        ids = self._encode(check_question(_checked_text(question), num_boxes=len(regions)))
        generation = self._generate(pixels, ids, regions, max_new_tokens=max_new_tokens)
        return self._answer(pixels, generation)

    def _encode(self, question: str) -> tuple[int, ...]:
        """Tokens of the prompt.

        Raises:
            RequestError: They leave no room for an answer.
        """
        prompt = build_prompt(question, style=PROMPT_STYLES[self.config.prompt_style])
        ids = self.tokenizer.encode(prompt).ids
        num_positions = len(ids) - 1 + self.config.global_encoder.num_tokens
        limit = self.config.language_model.max_positions
        if num_positions >= limit:
            raise RequestError(
                f"the question takes {num_positions} of the model's {limit} positions, picture included, and leaves no "
                "room for an answer: shorten it"
            )
        return ids

    def _generate(
        self, pixels: Pixels, ids: Sequence[int], regions: Sequence[Box], *, max_new_tokens: int
    ) -> Generation:
        """Run the model. Masks come at the size inside the grounding square, not yet at the picture's."""
        device = next(self.model.parameters()).device
        size = pixels.shape[0], pixels.shape[1]
        square, resized_size = grounding_pixels(
            pixels, side=self.config.grounding_encoder.image_size
        )
        overview = global_pixels(
            pixels,
            side=self.config.global_encoder.image_size,
            is_cropped=self.config.compat.crops_global_image,
        )
        units = [to_unit(box, size=size) for box in regions]
        request = GenerationRequest(
            global_pixels=torch.from_numpy(overview).to(device),
            grounding_pixels=torch.from_numpy(square).to(device),
            resized_size=resized_size,
            original_size=resized_size,
            input_ids=torch.tensor(ids, device=device),
            boxes_xyxy_unit=torch.tensor(units, dtype=torch.float32, device=device).reshape(-1, 4),
        )
        return generate(self.model, request, max_new_tokens=max_new_tokens)

    def _answer(self, pixels: Pixels, generation: Generation) -> Answer:
        size = pixels.shape[0], pixels.shape[1]
        masks, scores = _enlarge(generation.mask_logits, size=size)
        words = parse_grounded(self.tokenizer.decode(generation.token_ids))
        phrases = tuple(
            Phrase(start, end, words.text[start:end], score, to_box(mask))
            for (start, end), score, mask in zip(words.ranges, scores, masks, strict=True)
        )
        return Answer(
            text=words.text,
            phrases=phrases,
            masks=masks,
            image_size=size,
            token_ids=generation.token_ids,
            finish_reason=generation.finish_reason,
            counters=generation.counters,
            image=pixels,
        )


def _enlarge(mask_logits: torch.Tensor, *, size: Size) -> tuple[np.ndarray, list[float]]:
    """Threshold masks at the picture's size, one at a time.

    The same second step as `restore_mask_logits`, but logits of 50 million pixels are held for one mask and not for all.

    Raises:
        RequestError: All masks together are too large.
    """
    count = len(mask_logits)
    if count * size[0] * size[1] > MAX_MASK_PIXELS:
        raise RequestError(
            f"the answer has {count} masks of {size[1]} x {size[0]} pixels, together more than {MAX_MASK_PIXELS:,}: send a "
            "smaller picture"
        )
    masks = np.zeros((count, *size), dtype=bool)
    scores: list[float] = []
    for index, logits in enumerate(mask_logits):
        full = functional.interpolate(logits[None, None], size, mode="bilinear")[0, 0]
        masks[index] = (full > 0).cpu().numpy()
        scores.append(mask_score(full))
    return masks, scores


def _checked_text(question: str) -> str:
    try:
        question.encode()
    except UnicodeEncodeError as error:
        raise RequestError("the question holds bytes that are not UTF-8 text") from error
    return question


def _checked_box(box: Sequence[float | int], number: int, *, size: Size) -> Box:
    """Make sure that a region is one.

    Raises:
        RequestError: Not four finite numbers, no area, or outside the picture.
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
            f"box {number} ({shown}) reaches outside the picture, which is {size[1]} x {size[0]} pixels"
        )
    return x1, y1, x2, y2
