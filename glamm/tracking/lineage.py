"""Where a model comes from: data, code, parameters, the run and what it scored. Plain JSON, readable without us."""

import json
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from glamm.errors import DataError

MANIFEST_FILE = "manifest.json"


@dataclass(frozen=True, slots=True)
class Lineage:
    """What made a model.

    Args:
        glamm_version: Of this package.
        git_revision: Of the working tree; "unknown" outside git.
        is_git_clean: Whether the working tree had no other changes to tracked files.
        data: Checksums of the shards, by file.
        start: Checksum of the weights it started from, or "nothing".
        parameters: Of the run.
        run_id: Of the tracker.
        metrics: The last ones of training.
    """

    glamm_version: str
    git_revision: str
    is_git_clean: bool
    data: dict[str, str]
    start: str
    parameters: dict[str, Any]
    run_id: str
    metrics: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


def gather_lineage(
    *,
    shards: Path,
    start: str,
    parameters: Mapping[str, Any],
    run_id: str,
    metrics: Mapping[str, float],
) -> Lineage:
    """Collect what made a model.

    Raises:
        DataError: The shards have no manifest.
    """
    revision, is_clean = git_state()
    return Lineage(
        glamm_version=version("glamm"),
        git_revision=revision,
        is_git_clean=is_clean,
        data=shard_checksums(shards),
        start=start,
        parameters=dict(parameters),
        run_id=run_id,
        metrics=dict(metrics),
    )


def shard_checksums(shards: Path) -> dict[str, str]:
    """Checksums of all shard files from the manifest that `glamm data prepare` wrote.

    Raises:
        DataError: There is none, or it is damaged.
    """
    path = shards / MANIFEST_FILE
    try:
        files = json.loads(path.read_text(encoding="utf-8"))["files"]
        return {str(name): str(entry["sha256"]) for name, entry in files.items()}
    except FileNotFoundError as error:
        raise DataError("is missing: run glamm data prepare", file=path) from error
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise DataError(
            f"is damaged ({error!r}): run glamm data prepare again", file=path
        ) from error


def git_state(folder: Path | None = None) -> tuple[str, bool]:
    """(revision, whether tracked files are unchanged) of a working tree; ("unknown", False) outside git."""
    try:
        revision = _git("rev-parse", "HEAD", folder=folder)
        changes = _git("status", "--porcelain", "--untracked-files=no", folder=folder)
    except (OSError, subprocess.CalledProcessError):
        return "unknown", False
    return revision, not changes


def _git(*arguments: str, folder: Path | None) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=folder, capture_output=True, check=True, text=True
    ).stdout.strip()
