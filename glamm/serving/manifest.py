"""What a served model knows about its past."""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from glamm import __version__
from glamm.config.base import Config
from glamm.git_state import GitState, read_git_state
from glamm.structures.lineage import Lineage
from glamm.structures.report import REPORT_FILE, GcgReport

MANIFEST_FILE = "manifest.json"

_VERSION_LENGTH = 16


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
    lineage: Lineage
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
    """Hash of files and their places: the same model and code give the same version on every machine."""
    digest = hashlib.sha256()
    for path in sorted(files):
        with path.open("rb") as stream:
            checksum = hashlib.file_digest(stream, "sha256").hexdigest()
        digest.update(f"{path.relative_to(root).as_posix()}\0{checksum}\n".encode())
    return digest.hexdigest()[:_VERSION_LENGTH]


def _read_reports(folder: Path) -> dict[str, GcgReport]:
    return {
        path.parent.name: GcgReport.load(path) for path in sorted(folder.glob(f"*/{REPORT_FILE}"))
    }
