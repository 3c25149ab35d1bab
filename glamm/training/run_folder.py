"""Where an unfinished run keeps what it needs to continue.

A checkpoint appears whole or not at all, with its checksum beside it; the last two are kept, so that a damaged one
costs an interval and not the run.
"""

import hashlib
import json
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from glamm.errors import CheckpointError

logger = logging.getLogger(__name__)

_KEPT = 2


def fingerprint(values: Mapping[str, Any]) -> str:
    """Twelve hexadecimal digits that change with anything that would change the run."""
    text = json.dumps(values, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


class RunFolder:
    """Checkpoints and metrics of one run.

    Args:
        path: Is made if it does not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)

    def checkpoint_path(self, step: int) -> Path:
        """Where the checkpoint of a step goes."""
        return self.path / f"step={step:08d}.ckpt"

    def temporary_path(self, step: int) -> Path:
        """Where it is written before it is whole."""
        return self.path / f".step={step:08d}.ckpt.part"

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


def _sidecar(path: Path) -> Path:
    return path.with_suffix(".sha256")


def _is_whole(path: Path) -> bool:
    sidecar = _sidecar(path)
    return sidecar.is_file() and sidecar.read_text() == _checksum(path)


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
