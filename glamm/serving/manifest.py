"""What a served model knows about its past."""

import hashlib
import json
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

from glamm import __version__
from glamm.config.base import Config
from glamm.errors import CheckpointError
from glamm.structures.report import REPORT_FILE, GcgReport

MANIFEST_FILE = "manifest.json"

_VERSION_LENGTH = 16


class GitState(Config):
    """Which code.

    Args:
        revision: The commit.
        is_clean: Whether the files were those of the commit.
    """

    revision: str
    is_clean: bool


class Manifest(Config):
    """The past of a model.

    Args:
        version: Hash of the model and of the code that serves it.
        weights_sha256: Of model.safetensors.
        config: The model's sizes and switches.
        lineage: What training wrote down: checksums of the data, revision, parameters, W&B run, metrics.
        reports: Evaluations of this model, by the name of their folder.
        git: The code that was packed; None outside a repository.
        glamm_version: Of this library.
    """

    format_version: int = 1
    version: str
    weights_sha256: str
    config: dict[str, Any]
    lineage: dict[str, Any]
    reports: dict[str, GcgReport]
    git: GitState | None
    glamm_version: str = __version__


def compose_manifest(
    model: Path, *, reports: Path | None, source: Path, version: str | None = None
) -> Manifest:
    """Gather a model's past from the files that the pipeline wrote.

    Args:
        model: A model folder.
        reports: Holds <name>/report.json, or is not there yet.
        source: Where the code is.
        version: Hash of what is packed; None for a model that is served from its folder.

    Raises:
        CheckpointError: The model folder is damaged.
        DataError: A report cannot be read.
    """
    from glamm.checkpoints.store import (  # noqa: PLC0415 - loads transformers, which `bentoml build` need not wait for
        LINEAGE_FILE,
        read_config,
    )

    config = read_config(model)
    return Manifest(
        version=version or f"unpacked-{config.weights_sha256[:_VERSION_LENGTH]}",
        weights_sha256=config.weights_sha256,
        config=config.model.model_dump(mode="json"),
        lineage=_read_lineage(model / LINEAGE_FILE),
        reports=_read_reports(reports) if reports else {},
        git=_read_git(source),
    )


def content_version(root: Path, files: Iterable[Path]) -> str:
    """Hash of files and their places: the same model and code give the same version on every machine."""
    digest = hashlib.sha256()
    for path in sorted(files):
        with path.open("rb") as stream:
            checksum = hashlib.file_digest(stream, "sha256").hexdigest()
        digest.update(f"{path.relative_to(root).as_posix()}\0{checksum}\n".encode())
    return digest.hexdigest()[:_VERSION_LENGTH]


def _read_lineage(path: Path) -> dict[str, Any]:
    try:
        return _read_object(path)
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{path}: cannot be read ({error}). Copy the model folder again."
        ) from error


def _read_reports(folder: Path) -> dict[str, GcgReport]:
    return {
        path.parent.name: GcgReport.load(path) for path in sorted(folder.glob(f"*/{REPORT_FILE}"))
    }


def _read_object(path: Path) -> dict[str, Any]:
    value: object = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(value, dict):
        raise ValueError("the top level is no object")  # noqa: TRY004 - callers name the file
    return cast("dict[str, Any]", value)


def _read_git(source: Path) -> GitState | None:
    try:
        revision = _git(source, "rev-parse", "HEAD")
        is_clean = not _git(source, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):  # no git, or no repository
        return None
    return GitState(revision=revision, is_clean=is_clean)


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
