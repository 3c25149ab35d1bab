"""Weights & Biases runs: offline unless an API key is set; they never block or end a run, and never ask for input."""

import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import wandb
from jaxtyping import Bool, UInt8
from wandb.errors import AuthenticationError, CommError, UsageError

from glamm.errors import ConfigError

logger = logging.getLogger(__name__)

PROJECT = "glamm"
DEFAULT_DIR = Path(".runs") / "wandb"
_NOT_IN_ARTIFACT_NAMES = re.compile("[^A-Za-z0-9_.-]")
_MAX_ARTIFACT_NAME = 128
_INIT_TIMEOUT_SECONDS = 20.0
_FINISH_TIMEOUT_SECONDS = 120.0
"""If the server is lost during the run, the end does not wait longer; `wandb sync` sends the record later."""


_NO_RUN = (CommError, UsageError, AuthenticationError, TimeoutError, ValueError)
_MAX_REASON = 300  # characters


@dataclass(frozen=True, slots=True)
class ImageWithMasks:
    """An image with predicted and annotated masks.

    Args:
        name: Filename or sample id.
        image: RGB, 0 to 255.
        predicted: Predicted masks.
        predicted_phrases: The phrase of each predicted mask.
        truth: Annotated masks.
        truth_phrases: The phrase of each annotated mask.
        text: The answer of the model.
        reference: The annotated caption.
    """

    name: str
    image: UInt8[np.ndarray, "height width 3"]
    predicted: Bool[np.ndarray, "predictions height width"]
    predicted_phrases: tuple[str, ...]
    truth: Bool[np.ndarray, "truths height width"]
    truth_phrases: tuple[str, ...]
    text: str
    reference: str


class Run:
    """A run of training or evaluation.

    If the record cannot be written, for example because the disk is full or W&B does not accept a value, a warning is
    logged once; the run continues.

    Args:
        run: The run that `wandb.init` returned.
    """

    def __init__(self, run: Any) -> None:  # noqa: ANN401 - wandb's class is not exported
        self._run = run
        self._has_warned = False

    @contextmanager
    def _recording(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError, wandb.Error) as error:
            if not self._has_warned:
                self._has_warned = True
                logger.warning("the W&B record %s is not complete: %s", self.folder, error)

    @property
    def id(self) -> str:
        """Eight letters and digits."""
        return str(self._run.id)

    @property
    def folder(self) -> Path:
        """Folder of the offline record, relative to the working directory if it is below it."""
        path, base = Path(self._run.dir).parent, Path.cwd()
        return path.relative_to(base) if path.is_relative_to(base) else path

    def log(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Add metrics to the history, at a step of the run."""
        with self._recording():
            self._run.log(dict(metrics), step=step)

    def summarize(self, metrics: Mapping[str, float]) -> None:
        """Set the final metrics."""
        with self._recording():
            self._run.summary.update(dict(metrics))

    def log_images(
        self, name: str, images: Sequence[ImageWithMasks], step: int | None = None
    ) -> None:
        """Add a table of images with predicted and annotated masks; nothing if there are no images."""
        if not images:
            return
        with self._recording():
            table = wandb.Table(
                columns=["image", "prediction", "ground truth", "answer", "reference"]
            )
            for logged in images:
                table.add_data(
                    logged.name,
                    _with_masks(logged.image, logged.predicted, logged.predicted_phrases),
                    _with_masks(logged.image, logged.truth, logged.truth_phrases),
                    logged.text,
                    logged.reference,
                )
            self._run.log({name: table}, step=step)

    def log_manifest(self, name: str, kind: str, metadata: Mapping[str, Any]) -> None:
        """Record an artifact by its metadata alone; its files are stored by DVC.

        Characters of the name that W&B does not take become dashes.
        """
        accepted = _NOT_IN_ARTIFACT_NAMES.sub("-", name)[:_MAX_ARTIFACT_NAME] or kind
        with self._recording():
            self._run.log_artifact(wandb.Artifact(accepted, type=kind, metadata=dict(metadata)))

    def finish(self, *, is_failed: bool = False) -> None:
        """Write the rest of the record and end the run."""
        with self._recording():
            self._run.finish(exit_code=int(is_failed))


def start_run(
    *,
    name: str,
    job: str,
    config: Mapping[str, Any],
    folder: Path = DEFAULT_DIR,
    resume_id: str | None = None,
) -> Run:
    """Start a run.

    Args:
        name: Name in the list of runs.
        job: Job type: train or evaluate.
        config: Parameters of the run.
        folder: Gets the offline record.
        resume_id: Id of the run that this one continues.

    Returns:
        An online run when WANDB_API_KEY is set and the server answers within 20 s, else an offline one.

    Raises:
        ConfigError: An environment variable of W&B has a value that it refuses, even offline.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for variable, value in (
        ("WANDB_ERROR_REPORTING", "false"),
        ("WANDB_SILENT", "true"),
        (
            "WANDB_DATA_DIR",
            str(folder.resolve() / "data"),
        ),  # images of tables; by default in the home
        ("WANDB_CACHE_DIR", str(folder.resolve() / "cache")),
    ):
        os.environ.setdefault(variable, value)
    mode = os.environ.get("WANDB_MODE") or (
        "online" if os.environ.get("WANDB_API_KEY") else "offline"
    )
    options: dict[str, Any] = {
        "project": os.environ.get("WANDB_PROJECT", PROJECT),
        "name": name,
        "job_type": job,
        "config": dict(config),
        "dir": str(folder.resolve()),  # the process that writes may have another working directory
        "id": resume_id,
        "resume": "allow" if resume_id else None,
    }
    try:
        return Run(_init(mode, options))
    except _NO_RUN as error:
        logger.warning("W&B cannot be used (%s); recording offline in %s", _reason(error), folder)
    try:
        return Run(_init("offline", options))
    except _NO_RUN as error:
        raise ConfigError(
            f"W&B cannot record, not even offline ({_reason(error)}). Correct the environment variables WANDB_..., or "
            "set WANDB_MODE=disabled."
        ) from error


def _reason(error: Exception) -> str:
    """The message on one line."""
    return " ".join(str(error).split())[:_MAX_REASON]


def _init(mode: str, options: Mapping[str, Any]) -> Any:  # noqa: ANN401 - wandb's class is not exported
    settings = wandb.Settings(
        init_timeout=_INIT_TIMEOUT_SECONDS,
        finish_timeout=_FINISH_TIMEOUT_SECONDS,
        console="off",
        x_disable_stats=True,
    )
    return wandb.init(mode=cast("Any", mode), settings=settings, **options)


def _with_masks(
    image: UInt8[np.ndarray, "height width 3"],
    masks: Bool[np.ndarray, "masks height width"],
    phrases: Sequence[str],
) -> wandb.Image:
    """An image whose masks can be switched on and off, each named by its index and phrase."""
    labels = np.zeros(image.shape[:2], dtype=np.uint8)
    for index, mask in enumerate(masks[:255], start=1):
        labels[mask] = index
    names = {index: f"{index} {phrase}" for index, phrase in enumerate(phrases, start=1)}
    return wandb.Image(
        image, masks={"phrases": {"mask_data": labels, "class_labels": {0: "nothing", **names}}}
    )
