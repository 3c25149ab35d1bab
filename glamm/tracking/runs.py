"""Weights & Biases without surprises: offline unless a key is set, never blocking, never asking."""

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import wandb
from jaxtyping import Bool, UInt8
from wandb.errors import AuthenticationError, CommError, UsageError

logger = logging.getLogger(__name__)

PROJECT = "glamm"
DEFAULT_DIR = Path(".runs") / "wandb"
_INIT_TIMEOUT_SECONDS = 20.0
_FINISH_TIMEOUT_SECONDS = 120.0
"""A server that is lost on the way must not keep a finished run; its record stays and `wandb sync` sends it."""


@dataclass(frozen=True, slots=True)
class ImageWithMasks:
    """A row of a table of answers.

    Args:
        name: Of the image.
        image: RGB.
        predicted: Masks of the answer.
        predicted_phrases: One a mask.
        truth: Masks of the ground truth.
        truth_phrases: One a mask.
        text: The answer.
        reference: The ground truth's words.
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
    """One run of a stage.

    A record that cannot be written, for example because the disk is full, is said once and does not end the run.

    Args:
        run: Weights & Biases' own.
    """

    def __init__(self, run: Any) -> None:  # noqa: ANN401 - wandb's class is not exported
        self._run = run
        self._has_warned = False

    @contextmanager
    def _recording(self) -> Iterator[None]:
        try:
            yield
        except (OSError, wandb.Error) as error:
            if not self._has_warned:
                self._has_warned = True
                logger.warning("W&B's record %s is not complete: %s", self.folder, error)

    @property
    def id(self) -> str:
        """Eight letters and digits."""
        return str(self._run.id)

    @property
    def folder(self) -> Path:
        """Where the offline record is, seen from the working directory where it lies below it."""
        path, here = Path(self._run.dir).parent, Path.cwd()
        return path.relative_to(here) if path.is_relative_to(here) else path

    def log(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Add a row to the history."""
        with self._recording():
            self._run.log(dict(metrics), step=step)

    def summarize(self, metrics: Mapping[str, float]) -> None:
        """Set the final numbers."""
        with self._recording():
            self._run.summary.update(dict(metrics))

    def log_images(
        self, name: str, images: Sequence[ImageWithMasks], step: int | None = None
    ) -> None:
        """Add a table of answers with masks: what the model says beside the ground truth."""
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
        """Record an artifact by what it is made of; the bytes stay with DVC."""
        with self._recording():
            self._run.log_artifact(wandb.Artifact(name, type=kind, metadata=dict(metadata)))

    def finish(self, *, is_failed: bool = False) -> None:
        """Write everything out."""
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
    """Begin to record.

    Args:
        name: Shown in the list of runs.
        job: train or evaluate.
        config: Parameters.
        folder: Where the offline record goes.
        resume_id: Of the run that this one continues.

    Returns:
        An online run when WANDB_API_KEY is set and the server answers within 20 s, else an offline one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for variable, value in (
        ("WANDB_ERROR_REPORTING", "false"),
        ("WANDB_SILENT", "true"),
        ("WANDB_DATA_DIR", str(folder.resolve() / "data")),  # a table's images; else in the home
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
        "dir": str(folder.resolve()),  # the writing process may have been started in another folder
        "id": resume_id,
        "resume": "allow" if resume_id else None,
    }
    try:
        return Run(_init(mode, options))
    except (CommError, UsageError, AuthenticationError, TimeoutError, ValueError) as error:
        reason = str(error).splitlines()[0]
        logger.warning("W&B cannot be used (%s); recording offline in %s", reason, folder)
        return Run(_init("offline", options))


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
    """An image whose masks can be switched on and off, each named by its number and phrase."""
    labels = np.zeros(image.shape[:2], dtype=np.uint8)
    for index, mask in enumerate(masks[:255], start=1):
        labels[mask] = index
    names = {index: f"{index} {phrase}" for index, phrase in enumerate(phrases, start=1)}
    return wandb.Image(
        image, masks={"phrases": {"mask_data": labels, "class_labels": {0: "nothing", **names}}}
    )
