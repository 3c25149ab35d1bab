"""Where an unfinished run keeps what it needs to continue.

A checkpoint appears whole or not at all, with its checksum beside it; the last two are kept, so that a damaged one
costs an interval and not the run.
"""

import fcntl
import hashlib
import io
import json
import logging
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins import TorchCheckpointIO

from glamm.config.training import TrainConfig
from glamm.errors import BusyError, CheckpointError, HostError

logger = logging.getLogger(__name__)

_KEPT = 2
_UNWATCHED = ("checkpoint_steps", "log_steps", "validation")


def fingerprint(config: TrainConfig, *, data: Mapping[str, str], start: str) -> str:
    """Name a run by what its weights depend on.

    How often something is written, looked at or saved, and how many processes make batches, does not count: a run
    that was killed may go on with other values of those.

    Args:
        config: Of the run.
        data: Checksums of the shards.
        start: Checksum of what it starts from.

    Returns:
        Twelve hexadecimal digits.
    """
    plain = TrainConfig()
    loader = config.loader.model_copy(update={"num_workers": plain.loader.num_workers})
    unwatched = {name: getattr(plain, name) for name in _UNWATCHED}
    values = {
        "config": config.model_copy(update={"loader": loader, **unwatched}).model_dump(mode="json"),
        "data": dict(data),
        "start": start,
    }
    text = json.dumps(values, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def unwritable(path: Path, error: Exception) -> HostError:
    """The error for a file of the run that cannot be written."""
    reason = getattr(error, "strerror", None) or error
    return HostError(
        f"{path}: cannot be written ({reason}). Free some space and run the same command again; "
        "what was saved before is good."
    )


class RunFolder:
    """Checkpoints and metrics of one run.

    Args:
        path: Exists.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def checkpoint_path(self, step: int) -> Path:
        """Where the checkpoint of a step goes."""
        return self.path / f"step={step:08d}.ckpt"

    def temporary_path(self, step: int) -> Path:
        """Where it is written before it is whole."""
        return self.path / f".step={step:08d}.ckpt.part"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other runs of the same name out.

        Raises:
            BusyError: One is under way.
        """
        with (self.path / "lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise BusyError(
                    f"{self.path}: another process trains this very run. Wait for it, or end it."
                ) from error
            yield

    @contextmanager
    def writing(self, step: int) -> Iterator[Path]:
        """Give the place to write a checkpoint to; nothing of it is left if that fails.

        Raises:
            HostError: It cannot be written.
        """
        path = self.temporary_path(step)
        try:
            yield path
        except OSError as error:
            path.unlink(missing_ok=True)
            raise unwritable(path, error) from error

    def commit(self, step: int) -> None:
        """Make a written checkpoint count, and forget the oldest."""
        temporary, final = self.temporary_path(step), self.checkpoint_path(step)
        checksum = _checksum(temporary)
        sidecar = _sidecar(final)
        sidecar.write_text(checksum)
        temporary.replace(final)
        for old in self._checkpoints()[_KEPT:]:
            old.unlink(missing_ok=True)
            _sidecar(old).unlink(missing_ok=True)

    def last_good(self) -> Path | None:
        """The newest checkpoint that is whole, or None where there is none yet.

        Raises:
            CheckpointError: There are checkpoints, and all of them are damaged.
        """
        checkpoints = self._checkpoints()
        for path in checkpoints:
            if _is_whole(path):
                return path
            logger.warning("%s is damaged; going back to the one before it", path)
        if checkpoints:
            raise CheckpointError(
                f"{self.path}: every checkpoint in it is damaged. Delete the folder to start the run anew."
            )
        return None

    def remove(self) -> None:
        """Forget the run once its model has been written."""
        shutil.rmtree(self.path, ignore_errors=True)

    def _checkpoints(self) -> list[Path]:
        """Newest first."""
        return sorted(self.path.glob("step=*.ckpt"), reverse=True)


class CheckpointFiles(TorchCheckpointIO):
    """Writes a checkpoint where it belongs.

    Lightning's own way goes through the system's folder for temporary files, which may be another, smaller disk.
    """

    def save_checkpoint(
        self,
        checkpoint: dict[str, Any],
        path: Path | str,
        storage_options: object = None,  # noqa: ARG002 - Lightning's signature
    ) -> None:
        """Write the file."""
        # in memory first: torch takes a full disk in the middle of a file for a broken invariant
        content = io.BytesIO()
        torch.save(checkpoint, content)
        Path(path).write_bytes(content.getbuffer())


def _sidecar(path: Path) -> Path:
    return path.with_suffix(".sha256")


def _is_whole(path: Path) -> bool:
    sidecar = _sidecar(path)
    return sidecar.is_file() and sidecar.read_text() == _checksum(path)


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
