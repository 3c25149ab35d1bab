"""Checks a built Bento: starts it from its file alone and sends it an image and a question."""

import logging
import time
from dataclasses import dataclass
from pathlib import Path

import bentoml
import numpy as np
from PIL import Image

from glamm.errors import HostError, RequestError
from glamm.files import scratch_folder
from glamm.geometry.masks import decode_stack
from glamm.inference.image_io import read_image
from glamm.inference.overlay import draw_overlay
from glamm.serving.bento_build import bentoml_environment, run_bentoml
from glamm.serving.bento_process import RunningService, last_lines, running_service
from glamm.serving.schemas import GroundResponse
from glamm.structures.sample import Mask
from glamm.subprocesses import free_port

ANSWER_FILE = "answer.json"
OVERLAY_FILE = "overlay.png"


@dataclass(frozen=True, slots=True)
class SmokeResult:
    """A Bento's answer.

    Args:
        answer: Its JSON.
        start_seconds: Time from the start of the process until it was ready.
        answer_seconds: Time from the request to the response.
        folder: The folder with answer.json and overlay.png.
    """

    answer: GroundResponse
    start_seconds: float
    answer_seconds: float
    folder: Path


def smoke(bento: Path, *, image: Path, question: str, out: Path) -> SmokeResult:
    """Import a Bento into an empty store, start it, send one request, write the answer, and stop it.

    Args:
        bento: A file that `glamm package` wrote.
        image: The image of the request.
        question: The question of the request.
        out: Folder for answer.json and overlay.png.

    Raises:
        RequestError: The image or the Bento cannot be read.
        HostError: The service does not start or does not answer; the message contains the end of its output.
    """
    pixels = read_image(image)
    out.mkdir(parents=True, exist_ok=True)
    with scratch_folder("glamm-smoke-") as folder:
        home = folder / "home"
        tag = import_bento(bento, home=home)
        with running_service(
            tag,
            folder=folder,
            environment=bentoml_environment(home),
            port=free_port(),
            scratch=folder,
        ) as service:
            sent_at = time.perf_counter()
            answer = _send_request(service, image, question)
            answer_seconds = time.perf_counter() - sent_at
            start_seconds = service.start_seconds
    (out / ANSWER_FILE).write_text(answer.model_dump_json(indent=2), encoding="utf-8")
    _draw(pixels, answer).save(out / OVERLAY_FILE)
    return SmokeResult(answer, start_seconds, answer_seconds, out)


def import_bento(bento: Path, *, home: Path) -> str:
    """Import an exported Bento into a store.

    Returns:
        Its tag.

    Raises:
        RequestError: There is no such file.
        HostError: It is no Bento.
    """
    if not bento.is_file():
        raise RequestError(f"{bento}: there is no such Bento; `glamm package` builds one")
    home.mkdir(parents=True, exist_ok=True)
    before = _tags(home)
    run_bentoml("import", str(bento.absolute()), home=home, folder=home)
    new = _tags(home) - before
    return new.pop()


def _tags(home: Path) -> set[str]:
    folders = (path.parent for path in home.glob("bentos/*/*/bento.yaml"))
    return {f"{folder.parent.name}:{folder.name}" for folder in folders}


def _send_request(service: RunningService, image: Path, question: str) -> GroundResponse:
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs every request
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
    phrases = [phrase.text for phrase in answer.phrases]
    return Image.fromarray(draw_overlay(pixels, masks, phrases, answer.text))
