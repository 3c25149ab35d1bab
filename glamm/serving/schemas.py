"""What the service takes and gives, as it stands in its OpenAPI document."""

from pathlib import Path
from typing import Annotated, Any, Self

from bentoml import IODescriptor
from bentoml.validators import ContentType
from pydantic import Field

from glamm.config.base import Config
from glamm.geometry.masks import encode
from glamm.structures.answer import GroundedAnswer
from glamm.typing import Box, Size

MAX_QUESTION_CHARACTERS = 4000


class GroundForm(IODescriptor):
    """The fields of a question, sent as multipart/form-data.

    This is the documentation; `glamm.serving.form` reads the body. BentoML's own reader takes text for a web address
    and fetches it, takes a question such as `42` for a number, and answers 500 where a form is broken.

    Args:
        image: A picture file: JPEG, PNG, WebP, AVIF, GIF, BMP, TIFF or PPM.
        question: Plain words; `<bbox>` may stand where each box is meant.
        boxes: JSON, a list of [x1, y1, x2, y2] in pixels of the upright picture.
    """

    image: Annotated[Path, ContentType("image/*")]
    question: str = Field(min_length=1, max_length=MAX_QUESTION_CHARACTERS)
    boxes: list[list[float]] = Field(default_factory=list)

    @classmethod
    async def from_http_request(cls, request: object, serde: object) -> Self:
        """Leave the body to `glamm.serving.form.read_form`."""
        del request, serde
        return cls.model_construct(image=Path(), question="", boxes=[])


class PhraseModel(Config):
    """Words that are tied to a mask.

    Args:
        start: First code point in the answer's text.
        end: One past the last.
        text: The words.
        score: Mean foreground probability of the mask, 0 to 1; 0 for an empty mask.
        box: Tight x1, y1, x2, y2 around the mask in pixels; null for an empty mask.
        mask_index: Which of the answer's masks.
    """

    start: int
    end: int
    text: str
    score: float = Field(ge=0, le=1)
    box: Box | None
    mask_index: int


class MaskModel(Config):
    """A COCO compressed run-length mask, as `pycocotools.mask.decode` takes it.

    Args:
        size: (height, width) of the picture.
        counts: The runs, column by column, starting with background.
    """

    size: Size
    counts: str


class TimingsModel(Config):
    """Where the time went, in seconds.

    Args:
        waiting: For other questions to end.
        answering: Reading the picture, the model, and packing the masks.
    """

    waiting: float
    answering: float


class GroundResponse(Config):
    """Words, and a mask for each grounded phrase.

    Args:
        text: Plain words.
        phrases: In the order of the words; none when nothing was grounded.
        masks: One a phrase.
        image_size: (height, width) of the upright picture; masks and boxes are in its pixels.
        finish_reason: "stop" when the model ended by itself, "length" when the token limit did.
        timings: Where the time went.
        model_version: Which model and code answered; `/lineage` tells its past.
    """

    text: str
    phrases: tuple[PhraseModel, ...]
    masks: tuple[MaskModel, ...]
    image_size: Size
    finish_reason: str
    timings: TimingsModel
    model_version: str


class ErrorResponse(Config):
    """Why there is no answer.

    Args:
        error: One sentence for a person.
    """

    error: str


def pack_answer(answer: GroundedAnswer) -> dict[str, Any]:
    """The part of a `GroundResponse` that an answer knows."""
    masks = [encode(mask) for mask in answer.masks]
    phrases = [
        PhraseModel(
            start=phrase.start,
            end=phrase.end,
            text=phrase.text,
            score=phrase.score,
            box=phrase.box,
            mask_index=index,
        )
        for index, phrase in enumerate(answer.phrases)
    ]
    return {
        "text": answer.text,
        "phrases": tuple(phrases),
        "masks": tuple(MaskModel(size=mask.size, counts=mask.counts.decode()) for mask in masks),
        "image_size": answer.image_size,
        "finish_reason": answer.finish_reason,
    }
