"""Collects what a trained model was made from."""

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from glamm.git_state import read_git_state
from glamm.structures.lineage import Lineage


def gather_lineage(
    *,
    data: Mapping[str, str],
    start: str,
    parameters: Mapping[str, Any],
    run_id: str,
    metrics: Mapping[str, float],
) -> Lineage:
    """Add the version of the code to what the caller knows; see `Lineage` for the arguments."""
    git = read_git_state()
    return Lineage(
        glamm_version=version("glamm"),
        git_revision=git.revision if git else "unknown",
        is_git_clean=git.is_clean if git else False,
        data=dict(data),
        start=start,
        parameters=dict(parameters),
        run_id=run_id,
        metrics=dict(metrics),
    )
