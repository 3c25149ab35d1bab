"""The stages of dvc.yaml and what each needs: the only graph there is."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import networkx as nx
from dvc.exceptions import DvcException  # pyright: ignore[reportMissingTypeStubs]
from dvc.repo import Repo  # pyright: ignore[reportMissingTypeStubs]
from dvc.stage import PipelineStage  # pyright: ignore[reportMissingTypeStubs]

from glamm.errors import ConfigError

StageGraph = Mapping[str, tuple[str, ...]]
"""Stage name to the names of the stages that it needs, in an order in which every stage follows those it needs."""


def read_graph(root: Path) -> StageGraph:
    """Read the stages of a repository's dvc.yaml.

    Args:
        root: The folder with dvc.yaml and .dvc.

    Returns:
        Every stage; an instance of a `foreach` or `matrix` has its full name, such as `evaluate@val`. Files with a
        `.dvc` file are data, not stages.

    Raises:
        ConfigError: dvc.yaml cannot be read, or its stages contradict each other.
    """
    try:
        with Repo(str(root)) as repo:
            # DVC's edges go from a stage to the stage it needs.
            graph = cast("Any", repo.index).graph
            nodes = list(nx.topological_sort(graph.reverse(copy=True)))
            stages = [node for node in nodes if _is_pipeline_stage(node)]
            return {
                _name(stage): tuple(
                    sorted(_name(n) for n in graph.successors(stage) if _is_pipeline_stage(n))
                )
                for stage in stages
            }
    except DvcException as error:
        raise ConfigError(f"{root / 'dvc.yaml'}: {reason(error)}") from error


def select(graph: StageGraph, targets: Sequence[str]) -> StageGraph:
    """Select the named stages and all stages that they need, as `dvc repro TARGET ...` does.

    Args:
        graph: All stages.
        targets: Stage names, or the name before the `@` for all instances of a `foreach`; empty selects every stage.

    Returns:
        The selected stages, in the order of `graph`.

    Raises:
        ConfigError: There is no such stage.
    """
    if not targets:
        return graph
    wanted = {name for target in targets for name in _instances(graph, target)}
    for name in reversed(list(graph)):
        if name in wanted:
            wanted.update(graph[name])
    return {name: needs for name, needs in graph.items() if name in wanted}


def _instances(graph: StageGraph, target: str) -> list[str]:
    names = [name for name in graph if name == target or name.partition("@")[0] == target]
    if not names:
        raise ConfigError(
            f"stages: there is no stage '{target}' in dvc.yaml. It has {', '.join(graph)}."
        )
    return names


def _is_pipeline_stage(stage: object) -> bool:
    """Whether it is a stage of the top folder's dvc.yaml."""
    return isinstance(stage, PipelineStage) and stage.path_in_repo == "dvc.yaml"


def _name(stage: PipelineStage) -> str:
    # `.addressing` would depend on the working directory.
    return cast("str", stage.name)


def small_results(root: Path) -> list[Path]:
    """Results that DVC does not cache, such as metrics, as paths relative to `root`."""
    with Repo(str(root)) as repo:
        outs = [Path(out.fs_path) for out in cast("Any", repo.index).outs if not out.use_cache]
    return [path.relative_to(root) for path in outs if path.exists()]


def reason(error: BaseException) -> str:
    """The message of a DVC error and of its causes, which DVC itself does not print, on one line."""
    causes = [error]
    while causes[-1].__cause__ is not None:
        causes.append(causes[-1].__cause__)
    return ": ".join(dict.fromkeys(" ".join(str(cause).split()) for cause in causes))
