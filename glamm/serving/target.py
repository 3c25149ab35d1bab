"""The target of `glamm serve`: a model folder or a Bento."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from glamm.errors import CheckpointError
from glamm.serving.bento_build import bentoml_environment, find_code
from glamm.serving.model_location import MODEL_VARIABLE
from glamm.serving.smoke import import_bento

SERVICE = "glamm.serving.service:GLaMMService"


@dataclass(frozen=True, slots=True)
class Target:
    """How to start the service.

    Args:
        name: The argument of `bentoml serve`: a Bento's tag, or module:Service.
        folder: Working directory of the process.
        environment: The process's whole environment.
    """

    name: str
    folder: Path
    environment: Mapping[str, str]


def choose_target(
    model: Path, *, scratch: Path, settings: Mapping[str, str] | None = None
) -> Target:
    """Prepare a model folder or an exported Bento for serving.

    Args:
        model: A model folder or an exported Bento.
        scratch: An empty folder; an imported Bento is stored in it.
        settings: Environment variables of the service; see `glamm.serving.settings`.

    Raises:
        CheckpointError: It is a folder without a model.
        RequestError: There is no such file.
    """
    home = scratch / "home"
    environment = {**bentoml_environment(home), **(settings or {})}
    if model.is_dir():
        if not (model / "config.json").is_file():  # the service itself checks the rest
            raise CheckpointError(
                f"{model}: has no config.json. Name a folder that `glamm train` wrote."
            )
        variable = {MODEL_VARIABLE: str(model.absolute())}
        home.mkdir(parents=True, exist_ok=True)
        return Target(SERVICE, find_code(), environment | variable)
    tag = import_bento(model, home=home)
    return Target(tag, scratch, environment)
