"""Ask a model about every image of a split and keep its answers in the release's format."""

import hashlib
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from glamm.checkpoints.store import CONFIG_FILE, WEIGHTS_FILE, file_sha256
from glamm.config.evaluation import EvaluateConfig, WeightsKind
from glamm.data.parsing.dataset_paths import resolve_image
from glamm.data.parsing.json_stream import read_json
from glamm.errors import CheckpointError, DataError, RequestError
from glamm.evaluation.findings import Finding, FindingKind
from glamm.evaluation.gcg.predictions import prediction_path, write_prediction
from glamm.evaluation.gcg.schema import Prediction, TruthImage
from glamm.geometry.image_files import decode
from glamm.geometry.masks import encode
from glamm.inference.engine import EngineOptions
from glamm.inference.predictor import GroundedPredictor
from glamm.inference.quantization import quantize_language_model
from glamm.structures.answer import GroundedAnswer
from glamm.text.templates import GROUNDED_CONVERSATION_QUESTIONS, RELEASE_GCG_QUESTION
from glamm.text.tokenizer import tokenizer_path

IMAGE_FOLDERS = ("GranDf/GranDf_HA_images/val_test", "GranDf_HA_images/val_test")


@dataclass(frozen=True, slots=True)
class Job:
    """What is asked of which model.

    Args:
        predictor: The model.
        fingerprint: Of its files and of the question.
        question: Asked about every image.
        max_new_tokens: Per answer.
        batch_size: Images that are answered together.
    """

    predictor: GroundedPredictor
    fingerprint: str
    question: str
    max_new_tokens: int
    batch_size: int


def open_job(folder: Path, config: EvaluateConfig) -> Job:
    """Load a model folder.

    Raises:
        CheckpointError: A file is missing or damaged.
        HostError: Other weights than full are asked for, and torchao is not installed.
    """
    # every image is asked about once: nothing is worth keeping
    options = EngineOptions(max_rows=config.batch_size, cache_bytes=0)
    predictor = GroundedPredictor.from_checkpoint(folder, options=options)
    quantize_language_model(predictor.model, config.weights)
    is_release = predictor.config.prompt_style == "release"
    usual = RELEASE_GCG_QUESTION if is_release else GROUNDED_CONVERSATION_QUESTIONS[0]
    question = config.question or usual
    return Job(
        predictor,
        fingerprint_of(folder, question, config.max_new_tokens, config.weights),
        question,
        config.max_new_tokens,
        config.batch_size,
    )


def fingerprint_of(
    folder: Path, question: str, max_new_tokens: int, weights: WeightsKind = "full"
) -> str:
    """Hash of everything that an answer follows from, but for the image.

    Raises:
        CheckpointError: A file is missing.
    """
    try:
        paths = (folder / CONFIG_FILE, folder / WEIGHTS_FILE, tokenizer_path(folder))
        files = [file_sha256(path) for path in paths]
    except OSError as error:
        raise CheckpointError(f"{error.filename}: cannot be read ({error.strerror})") from error
    told = json.dumps([*files, question, max_new_tokens, weights])
    return hashlib.sha256(told.encode()).hexdigest()


def predict(
    images: Sequence[TruthImage],
    root: Path,
    folder: Path,
    job: Job,
    *,
    advance: Callable[[], None] = lambda: None,
) -> list[Finding]:
    """Answer every image that has no answer yet.

    An answer is kept when model, question and the bytes of the image are the same; after an interruption the work
    goes on where it stopped. An image that cannot be read is named, and counts as an empty answer.

    Args:
        images: Of the split.
        root: Of the data, with the images below it.
        folder: For the predictions.
        job: Model and question.
        advance: Called after each image.

    Returns:
        The images without an answer.
    """
    folder.mkdir(parents=True, exist_ok=True)
    findings: list[Finding] = []
    pool = ThreadPoolExecutor(job.batch_size, thread_name_prefix="predict")
    try:
        for finding in pool.map(lambda image: _predict_one(image, root, folder, job), images):
            if finding is not None:
                findings.append(finding)
            advance()
    finally:
        pool.shutdown(cancel_futures=True)
    return findings


def _predict_one(image: TruthImage, root: Path, folder: Path, job: Job) -> Finding | None:
    """Answer one image, while other threads ask about others: the predictor answers them together."""
    path = prediction_path(folder, image.id)
    try:
        data = image_path(root, image).read_bytes()
        origin = _origin(job, data)
        if not _is_current(path, origin):
            answer = job.predictor.ground(
                _pixels(data, image), job.question, max_new_tokens=job.max_new_tokens
            )
            write_prediction(folder, image.id, to_prediction(answer), origin=origin)
    except (DataError, RequestError, OSError, ValueError) as error:
        path.unlink(missing_ok=True)
        return Finding(FindingKind.UNREADABLE_IMAGE, str(image.id), f"was not asked: {error}")
    return None


def image_path(root: Path, image: TruthImage) -> Path:
    """Where the image is.

    Raises:
        DataError: There is none.
    """
    return resolve_image(root, IMAGE_FOLDERS, image.file_name or f"{image.id}.jpg")


def read_image(root: Path, image: TruthImage) -> UInt8[np.ndarray, "height width 3"]:
    """The image in the frame of its annotations.

    Raises:
        DataError: There is none.
        ValueError: It cannot be decoded, or has another size than the annotations say.
    """
    return _pixels(image_path(root, image).read_bytes(), image)


def _pixels(data: bytes, image: TruthImage) -> UInt8[np.ndarray, "height width 3"]:
    size = image.masks[0].mask.size if image.masks else image.size
    if size is None:
        raise ValueError("the ground truth says nothing about its size")
    return decode(data, size=size)


def to_prediction(answer: GroundedAnswer) -> Prediction:
    """What the release writes about an answer; words before the first tag and after the last are in the caption."""
    return Prediction(
        caption=answer.text,
        phrases=tuple(phrase.text for phrase in answer.phrases),
        masks=tuple(encode(mask) for mask in answer.masks),
        scores=tuple(float(phrase.score) for phrase in answer.phrases),
    )


def _origin(job: Job, image: bytes) -> str:
    told = job.fingerprint + hashlib.sha256(image).hexdigest()
    return hashlib.sha256(told.encode()).hexdigest()


def _is_current(path: Path, origin: str) -> bool:
    if not path.is_file():
        return False
    try:
        record = read_json(path)
    except DataError:
        return False  # a damaged file is made anew
    return isinstance(record, dict) and record.get("origin") == origin
