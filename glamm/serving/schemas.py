"""What the service takes and gives, as it stands in its OpenAPI document."""

from pathlib import Path
from typing import Annotated

from bentoml import IODescriptor
from bentoml.validators import ContentType
from pydantic import Field

from glamm.config.base import Config
from glamm.inference.answer_json import AnswerJson

MAX_QUESTION_CHARACTERS = 4000


class GroundForm(IODescriptor):
    """The fields of a question, sent as multipart/form-data.

    This is the documentation; `glamm.serving.multipart_form` reads the body. BentoML's own reader takes text for a web address
    and fetches it, takes a question such as `42` for a number, and answers 500 where a form is broken.

    Args:
        image: An image file: JPEG, PNG, WebP, AVIF, GIF, BMP, TIFF or PPM.
        question: Plain words; `<bbox>` may stand where each box is meant.
        boxes: JSON, a list of [x1, y1, x2, y2] in pixels of the upright image.
    """

    image: Annotated[Path, ContentType("image/*")]
    question: str = Field(min_length=1, max_length=MAX_QUESTION_CHARACTERS)
    boxes: list[list[float]] = Field(default_factory=list)

    @classmethod
    async def from_http_request(cls, request: object, serde: object) -> "GroundForm":
        """Leave the body to `glamm.serving.multipart_form.read_form`."""
        del request, serde
        return cls.model_construct(image=Path(), question="", boxes=[])


class TimingsModel(Config):
    """Where the time went, in seconds.

    Args:
        waiting: For other questions to end.
        answering: Reading the image, the model, and packing the masks.
    """

    waiting: float
    answering: float


class GroundResponse(AnswerJson):
    """An answer, and where it comes from.

    Args:
        timings: Where the time went.
        model_version: Which model and code answered; `/lineage` tells its past.
    """

    timings: TimingsModel
    model_version: str


class ErrorResponse(Config):
    """Why there is no answer.

    Args:
        error: One sentence for a person.
    """

    error: str
