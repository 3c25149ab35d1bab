"""Reads one section of params.yaml without the code of the other sections."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import yaml
from pydantic import ValidationError

from glamm.config.base import Config
from glamm.errors import ConfigError

DEFAULT_PARAMS = Path("params.yaml")
SECTIONS = ("synth", "prepare", "train", "evaluate", "package")
"""The top-level keys of params.yaml, one section per stage of the pipeline."""

C = TypeVar("C", bound=Config)


def load_section(
    name: str, kind: type[C], path: Path | None = None, overrides: Sequence[str] = ()
) -> C:
    """Read one section of a params file and apply overrides.

    A stage imports only its own section, so that a change in another section's code does not make it stale.

    Args:
        name: One of `SECTIONS`.
        kind: Type of the section.
        path: A params file; None reads `params.yaml` of the working directory, or uses the defaults if there is none.
        overrides: `section.key=value` texts, the value in YAML, as `dvc exp run -S` takes them.

    Returns:
        The validated section.

    Raises:
        ConfigError: The file cannot be read, a section or key is unknown, or a value has the wrong type; the message
            names the file, the key and what was expected.
    """
    tree, source = read_params(path, overrides)
    unknown = [key for key in tree if key not in SECTIONS]
    if unknown:
        raise ConfigError(
            f"{source}: {', '.join(unknown)}: no such section; the sections are {', '.join(SECTIONS)}"
        )
    return validate(kind, tree.get(name, {}), source=source, prefix=f"{name}.")


def read_params(path: Path | None, overrides: Sequence[str]) -> tuple[dict[str, Any], str]:
    """Read a params file without validating it, and apply overrides.

    Args:
        path: As in `load_section`.
        overrides: As in `load_section`.

    Returns:
        The values, and the name of their source for error messages.

    Raises:
        ConfigError: The file cannot be read, or an override is malformed.
    """
    if path is None:
        path = DEFAULT_PARAMS if DEFAULT_PARAMS.exists() else None
    tree = _read(path) if path else {}
    for override in overrides:
        _apply(tree, override)
    return tree, str(path) if path else "the default parameters"


def validate(kind: type[C], tree: object, *, source: str, prefix: str = "") -> C:
    """Validate values as a section.

    Args:
        kind: Type of the section.
        tree: Values as read from YAML.
        source: Where they are from, for the message.
        prefix: Goes before the keys in the message.

    Raises:
        ConfigError: A key is unknown or a value is invalid; the message names `source` and the key.
    """
    try:
        return kind.model_validate(tree)
    except ValidationError as error:
        problems = "; ".join(
            f"{prefix}{'.'.join(str(part) for part in problem['loc'])}".removesuffix(".")
            + f": {problem['msg'].removeprefix('Value error, ')}"
            for problem in error.errors()
        )
        raise ConfigError(f"{source}: {problems}") from error


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
