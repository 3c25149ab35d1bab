"""Where the service finds its model and its page: in a Bento, or in a checkout."""

import os
from dataclasses import dataclass
from pathlib import Path

from glamm.serving.manifest import MANIFEST_FILE, Manifest, compose_manifest

MODEL_VARIABLE = "GLAMM_MODEL"
"""Environment variable that names another model folder."""

PACKED_MODEL = Path("model")
"""Where `glamm package` puts the model."""

DEFAULT_MODEL = Path("data/models/glamm-tiny")
"""Where the pipeline writes it; plain `bentoml build` packs this one."""

DEFAULT_REPORTS = Path("data/reports")

PAGE = Path(__file__).parent / "ui" / "index.html"


@dataclass(frozen=True, slots=True)
class Places:
    """A model and the root that it belongs to.

    Args:
        root: Holds the package `glamm`.
        model: The model folder.
    """

    root: Path
    model: Path

    def read_manifest(self) -> Manifest:
        """The packed manifest, or one of the files as they are now."""
        packed = self.root / MANIFEST_FILE
        if packed.exists() and self.model == self.root / PACKED_MODEL:
            return Manifest.model_validate_json(packed.read_bytes())
        return compose_manifest(self.model, reports=self.root / DEFAULT_REPORTS, source=self.root)


def find_places() -> Places:
    """The folder that GLAMM_MODEL names, else the packed model, else the pipeline's."""
    root = Path(__file__).parents[2]
    named = os.environ.get(MODEL_VARIABLE)
    if named:
        return Places(root, Path(named))
    packed = root / PACKED_MODEL
    return Places(root, packed if packed.is_dir() else root / DEFAULT_MODEL)
