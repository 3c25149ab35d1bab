"""The folder of an unfinished run: its checkpoints and metrics.

A checkpoint is written whole or not at all, with its checksum in a file beside it. The last two are kept: if one is
damaged, the run continues from the one before.
"""

import errno
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
from glamm.files import sha256

logger = logging.getLogger(__name__)

_NUM_KEPT = 2
_NOT_FINGERPRINTED = ("checkpoint_steps", "log_steps", "validation")


def fingerprint(config: TrainConfig, *, data: Mapping[str, str], start: str) -> str:
    """Name a run by everything that its weights depend on.

    How often something is logged, validated or saved, and the number of data workers, do not count: a killed run may
    continue with other values of these.

    Args:
        config: Configuration of the run.
        data: SHA-256 of the shards, by path.
        start: Checksum of the initialization.

    Returns:
        Twelve hexadecimal digits.
    """
    defaults = TrainConfig()
    loader = config.loader.model_copy(update={"num_workers": defaults.loader.num_workers})
    ignored = {name: getattr(defaults, name) for name in _NOT_FINGERPRINTED}
    values = {
        "config": config.model_copy(update={"loader": loader, **ignored}).model_dump(mode="json"),
        "data": dict(data),
        "start": start,
    }
    text = json.dumps(values, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


def write_error(path: Path, error: Exception) -> HostError:
    """The error to raise if a file of the run cannot be written."""
    reason = getattr(error, "strerror", None) or error
    is_forbidden = getattr(error, "errno", None) in _FORBIDDEN
    remedy = "Allow writing there, or use another folder," if is_forbidden else "Free some space"
    return HostError(
        f"{path}: cannot be written ({reason}). {remedy} and run the same command again; "
        "what was saved before is intact."
    )


class RunFolder:
    """Checkpoints and metrics of one run.

    Args:
        path: An existing folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def checkpoint_path(self, step: int) -> Path:
        """The checkpoint of a step."""
        return self.path / f"step={step:08d}.ckpt"

    def temporary_path(self, step: int) -> Path:
        """The checkpoint of a step while it is being written."""
        return self.path / f".step={step:08d}.ckpt.part"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Prevent another process from running the same run.

        Raises:
            BusyError: One does.
        """
        with (self.path / "lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise BusyError(
                    f"{self.path}: another process runs the same training. Wait for it, or end it."
                ) from error
            yield

    @contextmanager
    def writing(self, step: int) -> Iterator[Path]:
        """Yield the temporary path of a checkpoint, and delete it if writing fails.

        Raises:
            HostError: It cannot be written.
        """
        # not `glamm.files.replacing`: several processes write, and the first one alone commits
        path = self.temporary_path(step)
        try:
            yield path
        except OSError as error:
            path.unlink(missing_ok=True)
            raise write_error(path, error) from error

    def commit(self, step: int) -> None:
        """Move a written checkpoint to its final path, and delete the oldest ones."""
        temporary, final = self.temporary_path(step), self.checkpoint_path(step)
        _checksum_path(final).write_text(sha256(temporary))
        temporary.replace(final)
        for old in self._checkpoints()[_NUM_KEPT:]:
            old.unlink(missing_ok=True)
            _checksum_path(old).unlink(missing_ok=True)

    def last_good(self) -> Path | None:
        """The newest checkpoint that is intact; None if there are no checkpoints.

        Raises:
            CheckpointError: All checkpoints are damaged.
        """
        checkpoints = self._checkpoints()
        for path in checkpoints:
            if _is_intact(path):
                return path
            logger.warning("%s is damaged; using the checkpoint before it", path)
        if checkpoints:
            raise CheckpointError(
                f"{self.path}: all its checkpoints are damaged. Delete the folder to start again from step 0."
            )
        return None

    def remove(self) -> None:
        """Delete the folder; call it when the model has been written."""
        shutil.rmtree(self.path, ignore_errors=True)

    def _checkpoints(self) -> list[Path]:
        """Newest first."""
        return sorted(self.path.glob("step=*.ckpt"), reverse=True)


class CheckpointFiles(TorchCheckpointIO):
    """Writes a checkpoint directly to its path.

    Lightning writes it into the system's temporary folder first, which may be on another, smaller disk.
    """

    def save_checkpoint(
        self,
        checkpoint: dict[str, Any],
        path: Path | str,
        storage_options: object = None,  # noqa: ARG002 - Lightning's signature
    ) -> None:
        """Write the file."""
        # into memory first: if the disk is full, torch raises an internal error instead of an OSError
        content = io.BytesIO()
        torch.save(checkpoint, content)
        Path(path).write_bytes(content.getbuffer())


def _checksum_path(checkpoint: Path) -> Path:
    return checkpoint.with_suffix(".sha256")


def _is_intact(checkpoint: Path) -> bool:
    expected = _checksum_path(checkpoint)
    return expected.is_file() and expected.read_text() == sha256(checkpoint)
