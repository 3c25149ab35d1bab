"""What `glamm serve` was asked to serve: a model folder or a Bento."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from glamm.errors import CheckpointError
from glamm.serving.bento_build import bentoml_environment, find_source
from glamm.serving.model_location import MODEL_VARIABLE
from glamm.serving.smoke import import_bento

SERVICE = "glamm.serving.service:GLaMMService"


@dataclass(frozen=True, slots=True)
class Target:
    """How to start it.

    Args:
        name: What `bentoml serve` is told.
        folder: Working directory.
        environment: Of the process.
    """

    name: str
    folder: Path
    environment: Mapping[str, str]


def choose_target(what: Path, *, scratch: Path) -> Target:
    """Look at what is to be served.

    Args:
        what: A model folder or an exported Bento.
        scratch: An empty folder; gets the store of an imported Bento.

    Raises:
        CheckpointError: It is a folder without a model.
        RequestError: It is no file.
    """
    home = scratch / "home"
    environment = bentoml_environment(home)
    if what.is_dir():
        if not (what / "config.json").is_file():  # the service looks closer
            raise CheckpointError(
                f"{what}: holds no config.json. Name a folder that `glamm train` wrote."
            )
        model = {MODEL_VARIABLE: str(what.absolute())}
        home.mkdir(parents=True, exist_ok=True)
        return Target(SERVICE, find_source(), environment | model)
    tag = import_bento(what, home=home)
    return Target(tag, scratch, environment)
