"""Paths of the served model: in a Bento, or in a checkout."""

import os
from dataclasses import dataclass
from pathlib import Path

from glamm.serving.manifest import MANIFEST_FILE, Manifest, compose_manifest

MODEL_VARIABLE = "GLAMM_MODEL"
"""Environment variable that names another model folder."""

PACKED_MODEL = Path("model")
"""The model's folder in a Bento, relative to its root."""

DEFAULT_MODEL = Path("data/models/glamm-tiny")
"""The model folder that the pipeline writes; plain `bentoml build` packs this one."""

DEFAULT_REPORTS = Path("data/reports")


@dataclass(frozen=True, slots=True)
class ModelLocation:
    """Paths of a served model.

    Args:
        root: The folder of the package `glamm`: a checkout, or the source folder of a Bento.
        model: The model folder.
    """

    root: Path
    model: Path

    def read_manifest(self) -> Manifest:
        """Read the packed manifest, or compose one from the current files."""
        packed = self.root / MANIFEST_FILE
        if packed.exists() and self.model == self.root / PACKED_MODEL:
            return Manifest.model_validate_json(packed.read_bytes())
        return compose_manifest(self.model, reports=self.root / DEFAULT_REPORTS, source=self.root)


def find_model() -> ModelLocation:
    """The model folder in GLAMM_MODEL, else the packed one, else the one that the pipeline writes."""
    root = Path(__file__).parents[2]
    named = os.environ.get(MODEL_VARIABLE)
    if named:
        return ModelLocation(root, Path(named))
    packed = root / PACKED_MODEL
    return ModelLocation(root, packed if packed.is_dir() else root / DEFAULT_MODEL)
