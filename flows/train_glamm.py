"""The flow `train-glamm`: runs every stage of dvc.yaml as a task, in a separate working tree."""

from pathlib import Path
from typing import Annotated

from prefect import State, flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.futures import PrefectFuture
from prefect.runtime import flow_run
from prefect.states import Cancelled, Completed, Failed
from pydantic import Field

from flows.artifacts import publish_report, publish_stage_table
from flows.graph import StageGraph, read_graph, select
from flows.stages import StageOutcome, StageRunner, all_outcomes
from flows.workspace import (
    Workspace,
    close_workspace,
    open_workspace,
    override,
    publish,
    save_experiment,
)
from glamm.errors import GlammError, HostError

Overrides = Annotated[
    list[str], Field(description="Values to change for this run: train.max_steps=20")
]
Stages = Annotated[
    list[str], Field(description="Run only these stages and what they need; none runs all")
]


@flow(name="train-glamm", persist_result=False)
def train_glamm(overrides: Overrides = [], stages: Stages = []) -> State:  # noqa: B006 - never changed
    """Run the pipeline of dvc.yaml: data, training, evaluation and packaging.

    DVC decides which stages are stale; each is one task run whose log has the stage's output. The results are saved as a
    DVC experiment with the name of the run. Without overrides they are also copied to the checkout.

    Args:
        overrides: `section.key=value` for params.yaml, as for `dvc exp run -S`.
        stages: Names from dvc.yaml. An unknown name fails the run before a stage starts.
    """
    try:
        workspace = open_workspace(Path.cwd(), name=str(flow_run.get_name() or "run"))
    except GlammError as error:
        return Failed(message=str(error))
    get_run_logger().info("working in %s", workspace.root)
    try:
        override(workspace, overrides)
        graph = select(read_graph(workspace.root), stages)
    except GlammError as error:
        close_workspace(workspace)
        return Failed(message=str(error))
    try:
        outcomes = _run_graph(graph, StageRunner(workspace.root))
    except BaseException:  # a canceled run: nobody needs its working tree
        close_workspace(workspace)
        raise
    publish_stage_table(outcomes)
    publish_report(workspace.root)
    if any(outcome.state == "Failed" for outcome in outcomes):
        return _failed(outcomes, workspace)
    try:
        return _keep_results(workspace, graph, overridden=bool(overrides))
    except GlammError as error:
        return Failed(
            message=f"All stages completed, but: {error} (working tree: {workspace.root})"
        )


@task(task_run_name="{stage}", cache_policy=NO_CACHE, persist_result=False)
def run_stage(stage: str, runner: StageRunner) -> State:
    """Run one stage of dvc.yaml and log its output."""
    outcome = runner.run(stage, on_line=get_run_logger().info)
    match outcome.state:
        case "Failed":
            return Failed(message=outcome.message)
        case "Cancelled":
            return Cancelled(message=outcome.message)
        case "Skipped":
            return Completed(name="Skipped", message=outcome.message)
        case _:
            return Completed()


def _run_graph(graph: StageGraph, runner: StageRunner) -> list[StageOutcome]:
    """Run each stage as soon as the stages that it needs have completed; end all stages if the run is canceled."""
    futures: dict[str, PrefectFuture[State]] = {}
    try:
        for stage, needs in graph.items():
            upstream = [futures[need] for need in needs]
            futures[stage] = run_stage.submit(stage, runner, wait_for=upstream)  # pyright: ignore[reportCallIssue, reportUnknownMemberType]
        for future in futures.values():
            future.wait()
    finally:
        runner.stop()
    return all_outcomes(graph, runner.outcomes)


def _failed(outcomes: list[StageOutcome], workspace: Workspace) -> State:
    messages = [outcome.message for outcome in outcomes if outcome.state == "Failed"]
    waiting = [outcome.stage for outcome in outcomes if outcome.state == "Not run"]
    if waiting:
        messages.append(f"Not run: {', '.join(waiting)}.")
    messages.append(f"The working tree is kept for inspection: {workspace.root}")
    return Failed(message="\n".join(messages))


def _keep_results(workspace: Workspace, graph: StageGraph, *, overridden: bool) -> State:
    save_experiment(workspace, graph)
    saved = f"Saved as experiment '{workspace.name}'"
    apply = f"copy it to the checkout with: dvc exp apply {workspace.name}"
    if overridden:
        message = f"{saved}; {apply}"
    else:
        try:
            publish(workspace)
            message = f"{saved}, and copied to the checkout."
        except HostError as error:
            message = f"{saved}. {error} To replace them, {apply}"
    close_workspace(workspace)
    get_run_logger().info(message)
    return Completed(message=message)
