"""The manifest of a served model: its lineage, its reports, and the version of the code that serves it."""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from glamm import __version__
from glamm.config.base import Config
from glamm.files import sha256
from glamm.git_state import GitState, read_git_state
from glamm.structures.lineage import Lineage
from glamm.structures.report import REPORT_FILE, GcgReport

MANIFEST_FILE = "manifest.json"

_VERSION_LENGTH = 16


class Manifest(Config):
    """Lineage and version of a served model.

    Args:
        version: Hash of the model and of the code that serves it.
        weights_sha256: Checksum of model.safetensors.
        config: The model's sizes and switches.
        lineage: Written by training: checksums of the data, revision, parameters, W&B run, metrics.
        reports: Evaluations of this model, by the name of their folder.
        git: The code that was packed; None outside a repository.
        glamm_version: Version of this library.
    """

    format_version: int = 1
    version: str
    weights_sha256: str
    config: dict[str, Any]
    lineage: Lineage
    reports: dict[str, GcgReport]
    git: GitState | None
    glamm_version: str = __version__


def compose_manifest(
    model: Path, *, reports: Path | None, source: Path, version: str | None = None
) -> Manifest:
    """Compose the manifest from the files that the pipeline wrote.

    Args:
        model: A model folder.
        reports: The folder of <name>/report.json; may be missing.
        source: The folder of the code.
        version: Hash of the packed files; None for a model that is served from its folder.

    Raises:
        CheckpointError: The model folder is damaged.
        DataError: A report cannot be read.
    """
    from glamm.checkpoints.store import (  # noqa: PLC0415 - loads transformers, which `bentoml build` need not wait for
        read_config,
        read_lineage,
    )

    config = read_config(model)
    return Manifest(
        version=version or f"unpacked-{config.weights_sha256[:_VERSION_LENGTH]}",
        weights_sha256=config.weights_sha256,
        config=config.model.model_dump(mode="json"),
        lineage=read_lineage(model),
        reports=_read_reports(reports) if reports else {},
        git=read_git_state(source),
    )


def content_version(root: Path, files: Iterable[Path]) -> str:
    """Hash of files and their paths below `root`: the same model and code give the same version on every machine."""
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(f"{path.relative_to(root).as_posix()}\0{sha256(path)}\n".encode())
    return digest.hexdigest()[:_VERSION_LENGTH]


def _read_reports(folder: Path) -> dict[str, GcgReport]:
    return {
        path.parent.name: GcgReport.load(path) for path in sorted(folder.glob(f"*/{REPORT_FILE}"))
    }
