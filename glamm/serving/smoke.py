"""Proves a built Bento: starts it from nothing but its file and asks it about an image."""

import logging
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import bentoml
import numpy as np
from PIL import Image

from glamm.errors import HostError, RequestError
from glamm.geometry.masks import decode_stack
from glamm.inference.image_io import read_image
from glamm.inference.overlay import draw_overlay
from glamm.serving.bento_build import bentoml_environment, run_bentoml
from glamm.serving.bento_process import RunningService, free_port, last_lines, running_service
from glamm.serving.schemas import GroundResponse
from glamm.structures.sample import Mask

ANSWER_FILE = "answer.json"
OVERLAY_FILE = "overlay.png"


@dataclass(frozen=True, slots=True)
class SmokeResult:
    """What a Bento answered.

    Args:
        answer: Its JSON.
        start_seconds: From the start of the process until it was ready.
        answer_seconds: From the question to the answer.
        folder: Holds answer.json and overlay.png.
    """

    answer: GroundResponse
    start_seconds: float
    answer_seconds: float
    folder: Path


def smoke(bento: Path, *, image: Path, question: str, out: Path) -> SmokeResult:
    """Import a Bento into an empty store, start it, ask it, write down the answer, stop it.

    Args:
        bento: A file that `glamm package` wrote.
        image: An image to ask about.
        question: What to ask.
        out: Folder for answer.json and overlay.png.

    Raises:
        RequestError: The image or the Bento cannot be read.
        HostError: The service does not start or does not answer; the message has its last lines.
    """
    pixels = read_image(image)
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="glamm-smoke-") as folder:
        home = Path(folder) / "home"
        tag = import_bento(bento, home=home)
        with running_service(
            tag,
            folder=Path(folder),
            environment=bentoml_environment(home),
            port=free_port(),
            log=Path(folder) / "service.log",
        ) as service:
            asked_at = time.perf_counter()
            answer = _ask(service, image, question)
            answer_seconds = time.perf_counter() - asked_at
            start_seconds = service.start_seconds
    (out / ANSWER_FILE).write_text(answer.model_dump_json(indent=2), encoding="utf-8")
    _draw(pixels, answer).save(out / OVERLAY_FILE)
    return SmokeResult(answer, start_seconds, answer_seconds, out)


def import_bento(bento: Path, *, home: Path) -> str:
    """Put an exported Bento into a store.

    Returns:
        Its tag.

    Raises:
        RequestError: There is no such file.
        HostError: It is no Bento.
    """
    if not bento.is_file():
        raise RequestError(f"{bento}: there is no such Bento; `glamm package` makes one")
    home.mkdir(parents=True, exist_ok=True)
    before = _tags(home)
    run_bentoml("import", str(bento.absolute()), home=home, folder=home)
    new = _tags(home) - before
    return new.pop()


def _tags(home: Path) -> set[str]:
    folders = (path.parent for path in home.glob("bentos/*/*/bento.yaml"))
    return {f"{folder.parent.name}:{folder.name}" for folder in folders}


def _ask(service: RunningService, image: Path, question: str) -> GroundResponse:
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it would tell each request
    try:
        with bentoml.SyncHTTPClient(service.url) as client:
            answer: object = client.call("ground", image=image, question=question)
    except Exception as error:  # the client raises whatever its transport does
        raise HostError(
            f"the service did not answer ({error}). Its last lines:\n{last_lines(service.log)}"
        ) from error
    return GroundResponse.model_validate(answer)


def _draw(pixels: np.ndarray, answer: GroundResponse) -> Image.Image:
    codes = [Mask(size=mask.size, counts=mask.counts.encode()) for mask in answer.masks]
    masks = decode_stack(codes, size=answer.image_size).astype(bool)
    words = [phrase.text for phrase in answer.phrases]
    return Image.fromarray(draw_overlay(pixels, masks, words, answer.text))
