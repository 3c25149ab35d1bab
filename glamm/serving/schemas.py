"""Request and response of the service, as its OpenAPI document describes them."""

from pathlib import Path
from typing import Annotated

from bentoml import IODescriptor
from bentoml.validators import ContentType
from pydantic import Field

from glamm.config.base import Config
from glamm.inference.answer_json import AnswerJson
from glamm.inference.engine_options import DEFAULT_MAX_NEW_TOKENS

MAX_QUESTION_CHARACTERS = 4000


class GroundForm(IODescriptor):
    """The fields of a request, sent as multipart/form-data.

    This class is the documentation; `glamm.serving.multipart_form` reads the body. BentoML's own reader fetches an
    image field that contains a web address, reads a question such as `42` as a number, and answers 500 to a malformed
    form.

    Args:
        image: An image file: JPEG, PNG, WebP, AVIF, GIF, BMP, TIFF or PPM.
        question: Plain text; `<bbox>` may mark where each box is mentioned.
        boxes: JSON, a list of [x1, y1, x2, y2] in pixels of the upright image.
        max_new_tokens: Limit of the answer's length; the answer says if it was reached.
    """

    image: Annotated[Path, ContentType("image/*")]
    question: str = Field(min_length=1, max_length=MAX_QUESTION_CHARACTERS)
    boxes: list[list[float]] = Field(default_factory=list)
    max_new_tokens: int = Field(default=DEFAULT_MAX_NEW_TOKENS, ge=1)

    @classmethod
    async def from_http_request(cls, request: object, serde: object) -> "GroundForm":
        """Leave the body to `glamm.serving.multipart_form.read_form`."""
        del request, serde
        return cls.model_construct(image=Path(), question="", boxes=[])


class TimingsModel(Config):
    """How long the parts of a request took, in seconds.

    Args:
        waiting: In the queue.
        answering: Decoding the image, running the model, and encoding the masks.
    """

    waiting: float
    answering: float


class GroundResponse(AnswerJson):
    """An answer, its cost and its origin.

    Args:
        timings: How long the parts of the request took.
        model_version: Version of model and code; `/lineage` describes it.
    """

    timings: TimingsModel
    model_version: str


class ErrorResponse(Config):
    """Why there is no answer.

    Args:
        error: One sentence: what is wrong, and what to do about it.
    """

    error: str
