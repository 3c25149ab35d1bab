"""The only reader of params.yaml: every value that a run may change, as types."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import yaml
from pydantic import ValidationError

from glamm.config.base import Config
from glamm.config.data import PrepareConfig
from glamm.config.evaluation import EvaluateConfig
from glamm.config.package import PackageConfig
from glamm.config.synthetic import SynthConfig
from glamm.config.training import TrainConfig
from glamm.errors import ConfigError

DEFAULT_PARAMS = Path("params.yaml")


class Params(Config):
    """The sections of params.yaml, one a stage of the pipeline; each has defaults that make the demo."""

    synth: SynthConfig = SynthConfig()
    prepare: PrepareConfig = PrepareConfig()
    train: TrainConfig = TrainConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    package: PackageConfig = PackageConfig()


def load_params(path: Path | None = None, overrides: Sequence[str] = ()) -> Params:
    """Read params.yaml and apply overrides.

    Args:
        path: A params file; None takes `params.yaml` of the working directory, or the built-in defaults where there
            is none.
        overrides: `section.key=value` texts, the value in YAML, as `dvc exp run -S` takes them.

    Returns:
        The validated parameters.

    Raises:
        ConfigError: The file cannot be read, a key is unknown or a value has the wrong type; the message names
            the file, the key and what was expected.
    """
    if path is None:
        path = DEFAULT_PARAMS if DEFAULT_PARAMS.exists() else None
    source = str(path) if path else "the built-in parameters"
    tree = _read(path) if path else {}
    for override in overrides:
        _apply(tree, override)
    try:
        return Params.model_validate(tree)
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg'].removeprefix('Value error, ')}"
            for fault in error.errors()
        )
        raise ConfigError(f"{source}: {faults}") from error


def _read(path: Path) -> dict[str, Any]:
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error.strerror}). Name a params file with --params."
        ) from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: is not YAML: {error}") from error
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: the top level must be sections such as 'train:'.")
    return cast("dict[str, Any]", tree)


def _apply(tree: dict[str, Any], override: str) -> None:
    key, separator, value = override.partition("=")
    if not separator or not key:
        raise ConfigError(
            f"override '{override}': write section.key=value, such as train.max_steps=20."
        )
    node = tree
    *parents, leaf = key.split(".")
    for parent in parents:
        child: object = node.setdefault(parent, {})
        if not isinstance(child, dict):
            raise ConfigError(f"override '{override}': '{parent}' is a value, not a section.")
        node = cast("dict[str, Any]", child)
    try:
        node[leaf] = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ConfigError(f"override '{override}': the value is not YAML: {error}") from error
