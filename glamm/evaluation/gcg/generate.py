"""Run a model on every image of a split and keep its answers in the release's format."""

import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from glamm.checkpoints.store import CONFIG_FILE, WEIGHTS_FILE
from glamm.config.evaluation import EvaluateConfig
from glamm.data.parsing.dataset_paths import resolve_image
from glamm.data.parsing.grandf_eval import IMAGE_FOLDERS
from glamm.errors import CheckpointError, DataError, RequestError
from glamm.evaluation.gcg.predictions import prediction_path, read_origin, write_prediction
from glamm.files import sha256
from glamm.geometry.image_files import decode
from glamm.geometry.masks import encode
from glamm.inference.device import AUTO
from glamm.inference.engine_options import EngineOptions
from glamm.inference.predictor import GroundedPredictor
from glamm.inference.quantization import quantize_language_model
from glamm.progress import NO_PROGRESS, Progress
from glamm.structures.answer import GroundedAnswer
from glamm.structures.gcg import GroundTruthImage, Prediction
from glamm.structures.issue import IssueKind, IssueLog
from glamm.structures.report import ImageId
from glamm.structures.sample import Frame
from glamm.text.templates import GROUNDED_CONVERSATION_QUESTIONS, RELEASE_GCG_QUESTION
from glamm.text.tokenizer import tokenizer_path


@dataclass(frozen=True, slots=True)
class ModelUnderTest:
    """A model and the question that it answers about every image.

    Args:
        predictor: Answers several images at a time.
        fingerprint: Hash of the model's files, the question and the options.
        question: Text of the question, the same for every image.
        max_new_tokens: Limit for one answer.
        batch_size: How many images are answered together.
    """

    predictor: GroundedPredictor
    fingerprint: str
    question: str
    max_new_tokens: int
    batch_size: int

    @classmethod
    def load(cls, folder: Path, config: EvaluateConfig, *, device: str = AUTO) -> "ModelUnderTest":
        """Load a model folder onto a device.

        Raises:
            CheckpointError: A file is missing or damaged.
            HostError: The config asks for quantized weights, and torchao is not installed; or this machine does not
                have the device.
        """
        # no cache: each image gets one question only
        options = EngineOptions(max_batch_size=config.batch_size, cache_bytes=0)
        predictor = GroundedPredictor.from_checkpoint(
            folder, device=device, dtype=config.dtype, options=options
        )
        quantize_language_model(predictor.model, config.weights)
        is_release = predictor.config.prompt_style == "release"
        default = RELEASE_GCG_QUESTION if is_release else GROUNDED_CONVERSATION_QUESTIONS[0]
        question = config.question or default
        return cls(
            predictor,
            fingerprint_model(folder, question, config),
            question,
            config.max_new_tokens,
            config.batch_size,
        )


def fingerprint_model(folder: Path, question: str, config: EvaluateConfig) -> str:
    """Hash of everything that determines an answer, except the image.

    Raises:
        CheckpointError: A file of the model is missing.
    """
    try:
        paths = (folder / CONFIG_FILE, folder / WEIGHTS_FILE, tokenizer_path(folder))
        checksums = [sha256(path) for path in paths]
    except OSError as error:
        raise CheckpointError(f"{error.filename}: cannot be read ({error.strerror})") from error
    determinants = json.dumps(
        [*checksums, question, config.max_new_tokens, config.weights, config.dtype]
    )
    return hashlib.sha256(determinants.encode()).hexdigest()


def generate_predictions(
    images: Sequence[GroundTruthImage],
    root: Path,
    folder: Path,
    model: ModelUnderTest,
    issues: IssueLog,
    *,
    progress: Progress = NO_PROGRESS,
) -> frozenset[ImageId]:
    """Answer every image that has no answer yet.

    An existing answer is kept if model, question and the bytes of the image are the same, so an interrupted run goes
    on where it stopped. An image that cannot be read is reported and counts as an empty answer.

    Args:
        images: The images of the split.
        root: Data root, with the images below it.
        folder: Where the predictions are written.
        model: Model and question.
        issues: Gets the images that cannot be read.
        progress: Advanced after each image.

    Returns:
        The images without an answer.
    """
    folder.mkdir(parents=True, exist_ok=True)
    unanswered: set[ImageId] = set()
    pool = ThreadPoolExecutor(model.batch_size, thread_name_prefix="predict")
    waits = True
    try:
        faults = pool.map(lambda image: _answer_image(image, root, folder, model), images)
        for image, fault in zip(images, faults, strict=True):
            if fault is not None:
                unanswered.add(image.id)
                reason = f"the model was not run: {fault}"
                issues.add(reason, record=str(image.id), kind=IssueKind.UNREADABLE_IMAGE)
            progress.advance()
    except KeyboardInterrupt:
        waits = False  # an answer can take minutes
        raise
    finally:
        pool.shutdown(wait=waits, cancel_futures=True)
    return frozenset(unanswered)


def _answer_image(
    image: GroundTruthImage, root: Path, folder: Path, model: ModelUnderTest
) -> str | None:
    """Answer one image, while other threads wait for other answers: the predictor computes them together.

    Returns:
        Why the image has no answer, or None.
    """
    path = prediction_path(folder, image.id)
    try:
        content = image_path(root, image).read_bytes()
        origin = _origin(model, content)
        if read_origin(path) != origin:
            answer = model.predictor.ground(
                _pixels(content, image), model.question, max_new_tokens=model.max_new_tokens
            )
            write_prediction(folder, image.id, to_prediction(answer), origin=origin)
    except (DataError, RequestError, OSError, ValueError) as error:
        path.unlink(missing_ok=True)
        return str(error)
    return None


def image_path(root: Path, image: GroundTruthImage) -> Path:
    """The path of an image file below a data root.

    Raises:
        DataError: There is none.
    """
    return resolve_image(root, IMAGE_FOLDERS, image.file_name or f"{image.id}.jpg", by_end=True)


def read_image(root: Path, image: GroundTruthImage) -> UInt8[np.ndarray, "height width 3"]:
    """The RGB pixels of an image, in the orientation of its annotations.

    Raises:
        DataError: There is no such file.
        ValueError: It cannot be decoded, or has another size than the annotations state.
    """
    return _pixels(image_path(root, image).read_bytes(), image)


def _pixels(content: bytes, image: GroundTruthImage) -> UInt8[np.ndarray, "height width 3"]:
    size = image.annotated_size
    if size is None:
        raise ValueError("the ground truth does not state its size")
    return decode(content, size=size, frame=Frame.BY_SIZE)


def to_prediction(answer: GroundedAnswer) -> Prediction:
    """Convert an answer as the release does; text before the first tag and after the last belongs to the caption."""
    return Prediction(
        caption=answer.text,
        phrases=tuple(phrase.text for phrase in answer.phrases),
        masks=tuple(encode(mask) for mask in answer.masks),
        scores=tuple(float(phrase.score) for phrase in answer.phrases),
    )


def _origin(model: ModelUnderTest, image: bytes) -> str:
    determinants = model.fingerprint + hashlib.sha256(image).hexdigest()
    return hashlib.sha256(determinants.encode()).hexdigest()
