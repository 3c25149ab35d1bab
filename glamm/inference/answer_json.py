"""An answer as JSON: the same for the command line and the service."""

from pydantic import Field

from glamm.config.base import Config
from glamm.geometry.masks import encode
from glamm.structures.answer import GroundedAnswer
from glamm.typing import Box, Size


class PhraseJson(Config):
    """A phrase of the answer and its mask.

    Args:
        start: First code point in the answer's text.
        end: One past the last.
        text: The phrase itself.
        score: Mean foreground probability of the mask, 0 to 1; 0 for an empty mask.
        box: Tight x1, y1, x2, y2 around the mask in pixels; null for an empty mask.
        mask_index: Index of its mask in the answer.
    """

    start: int
    end: int
    text: str
    score: float = Field(ge=0, le=1)
    box: Box | None
    mask_index: int


class MaskJson(Config):
    """A mask in COCO's compressed run-length encoding, the input of `pycocotools.mask.decode`.

    Args:
        size: (height, width) of the image.
        counts: Encoded run lengths, column by column, starting with background.
    """

    size: Size
    counts: str


class AnswerJson(Config):
    """Text, and a mask for each grounded phrase.

    Args:
        text: Plain text, without special tokens.
        phrases: In the order of the text; empty if nothing was grounded.
        masks: One per phrase.
        image_size: (height, width) of the upright image; masks and boxes are in its pixels.
        finish_reason: "stop" if the model ended the answer, "length" if the token limit did.
    """

    text: str
    phrases: tuple[PhraseJson, ...]
    masks: tuple[MaskJson, ...]
    image_size: Size
    finish_reason: str


def answer_to_json(answer: GroundedAnswer) -> AnswerJson:
    """Convert an answer to JSON values; masks are run-length encoded."""
    codes = [encode(mask) for mask in answer.masks]
    phrases = [
        PhraseJson(
            start=phrase.start,
            end=phrase.end,
            text=phrase.text,
            score=phrase.score,
            box=phrase.box,
            mask_index=index,
        )
        for index, phrase in enumerate(answer.phrases)
    ]
    return AnswerJson(
        text=answer.text,
        phrases=tuple(phrases),
        masks=tuple(MaskJson(size=code.size, counts=code.counts.decode()) for code in codes),
        image_size=answer.image_size,
        finish_reason=answer.finish_reason,
    )
