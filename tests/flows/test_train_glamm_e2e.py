"""The flow on a running server and worker, started with the commands that a user types."""

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from flows.local import find_local_prefect
from flows.workspace import stage_environment
from tests.builders.processes import is_running
from tests.flows.conftest import make_toy_repository

pytestmark = [
    pytest.mark.slow,
    pytest.mark.e2e,
    pytest.mark.timeout(500),
    pytest.mark.xdist_group("prefect"),
]
TERMINAL = {"COMPLETED", "FAILED", "CANCELLED", "CRASHED"}
WAIT_S = 150  # a run takes 15 s on two idle cores


@dataclass(frozen=True)
class Toy:
    """The toy repository and its running Prefect."""

    root: Path
    pids: Path
    api: httpx.Client

    def run(self, *command: str) -> str:
        """Run a command in the repository as a user does, with the project's commands on PATH."""
        done = subprocess.run(
            command,
            cwd=self.root,
            env=shell(self.root),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def start_flow(self, *options: str) -> str:
        output = self.run("prefect", "deployment", "run", "train-glamm", *options)
        return re.search(r"UUID: (\S+)", output)[1]  # pyright: ignore[reportOptionalSubscript]

    def finish(self, run_id: str) -> dict[str, Any]:
        deadline = time.monotonic() + WAIT_S
        while (run := self.api.get(f"flow_runs/{run_id}").json())["state_type"] not in TERMINAL:
            assert time.monotonic() < deadline, run
            time.sleep(0.5)
        return run

    def tasks(self, run_id: str) -> dict[str, str]:
        task_runs = self.api.post(
            "task_runs/filter", json={"flow_runs": {"id": {"any_": [run_id]}}}
        ).json()
        assert len({task["name"] for task in task_runs}) == len(task_runs)
        return {task["name"]: task["state"]["name"] for task in task_runs}

    def logs(self, run_id: str, line: str) -> list[str]:
        """The run's log lines; waits for `line`, because Prefect sends them in batches."""
        deadline = time.monotonic() + WAIT_S
        query = {"logs": {"flow_run_id": {"any_": [run_id]}}}
        while True:
            lines = [
                record["message"] for record in self.api.post("logs/filter", json=query).json()
            ]
            if any(line in text for text in lines):
                return lines
            assert time.monotonic() < deadline, lines
            time.sleep(0.5)


def shell(root: Path) -> dict[str, str]:
    plain = {
        key: value
        for key, value in stage_environment(root).items()
        if not key.startswith("PREFECT")
    }
    return {**plain, "PREFECT_HOME": str(root / ".prefect-shell"), "DO_NOT_TRACK": "1"}


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Toy]:
    root = make_toy_repository(tmp_path_factory.mktemp("e2e") / "toy")
    pids = root.parent / "pids"
    env = {**shell(root), "TOY_PIDS": str(pids)}
    subprocess.run([sys.executable, "-m", "flows.local", "up"], cwd=root, env=env, check=True)
    with httpx.Client(base_url=find_local_prefect(root).url) as api:
        yield Toy(root, pids, api)
    subprocess.run([sys.executable, "-m", "flows.local", "down"], cwd=root, env=env, check=True)


def test_flow_runs_each_stage_as_a_task_and_then_skips_them(toy: Toy):
    first = toy.start_flow()
    assert toy.finish(first)["state"]["name"] == "Completed"
    tasks = toy.tasks(first)
    # Another test's run may have made the scenes already: runs share DVC's cache.
    assert tasks.pop("synth") in {"Completed", "Skipped"}
    assert tasks == {"train": "Completed", "evaluate@val": "Completed"}
    assert "train: at work" in toy.logs(first, "evaluate: at work")
    assert "Running stage" not in toy.run("dvc", "repro")

    second = toy.start_flow()
    assert toy.finish(second)["state"]["name"] == "Completed"
    assert set(toy.tasks(second).values()) == {"Skipped"}


def test_failing_stage_fails_the_flow_with_its_last_lines(toy: Toy):
    run_id = toy.start_flow("--param", 'overrides=["synth.seed=13"]')

    run = toy.finish(run_id)

    assert run["state_type"] == "FAILED"
    assert "the loss is not a number at step 13" in run["state"]["message"]
    assert toy.tasks(run_id)["train"] == "Failed"
    assert toy.tasks(run_id)["evaluate@val"] == "NotReady"


def test_cancelling_ends_the_stage_and_its_children(toy: Toy):
    run_id = toy.start_flow("--param", 'overrides=["synth.seed=600"]')
    deadline = time.monotonic() + WAIT_S
    while not toy.pids.exists() or not toy.pids.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.2)
    pids = [int(pid) for pid in toy.pids.read_text().split()]

    toy.run("prefect", "flow-run", "cancel", run_id)

    assert toy.finish(run_id)["state_type"] == "CANCELLED"
    assert not any(is_running(pid) for pid in pids)
    assert not (toy.root / ".runs/worktrees" / toy.finish(run_id)["name"]).exists()
