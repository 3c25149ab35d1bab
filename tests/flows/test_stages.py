"""How the end of a stage is recognized in DVC's output, and how a stage is ended."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from flows.stages import StageRunner, all_outcomes
from tests.builders.processes import is_running

pytestmark = [pytest.mark.slow, pytest.mark.e2e]


def test_stage_completes_once_and_is_skipped_afterwards(repository: Path):
    lines: list[str] = []
    runner = StageRunner(repository)

    first = runner.run("synth", on_line=lines.append)
    second = runner.run("synth", on_line=lines.append)

    assert (first.state, second.state) == ("Completed", "Skipped")
    assert "synth: at work" in lines


def test_failed_stage_has_its_last_lines_as_message(repository: Path):
    (repository / "params.yaml").write_text("synth: {seed: 13, image_size: 128}\n")
    runner = StageRunner(repository)
    runner.run("synth", on_line=str)

    outcome = runner.run("train", on_line=str)

    assert outcome.state == "Failed"
    assert "the loss is not a number at step 13" in outcome.message
    states = [o.state for o in all_outcomes(["synth", "train", "evaluate@val"], runner.outcomes)]
    assert states == ["Completed", "Failed", "Not run"]


def test_stopping_ends_the_stage_and_its_children(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    pids = tmp_path / "pids"
    monkeypatch.setenv("TOY_PIDS", str(pids))
    (repository / "params.yaml").write_text("synth: {seed: 600, image_size: 128}\n")
    runner = StageRunner(repository)
    runner.run("synth", on_line=str)
    thread = threading.Thread(target=runner.run, args=("train",), kwargs={"on_line": str})
    thread.start()
    while not pids.exists() or not pids.read_text():
        time.sleep(0.05)

    runner.stop()
    thread.join(timeout=10)

    assert runner.outcomes["train"].state == "Cancelled"
    assert not any(is_running(int(pid)) for pid in pids.read_text().split())
    assert runner.run("evaluate@val", on_line=str).state == "Cancelled"


def test_stage_and_its_children_end_when_the_flow_is_killed(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    pids = tmp_path / "pids"
    monkeypatch.setenv("TOY_PIDS", str(pids))
    (repository / "params.yaml").write_text("synth: {seed: 600, image_size: 128}\n")
    code = (
        "from pathlib import Path; from flows.stages import StageRunner\n"
        "for stage in ('synth', 'train'): StageRunner(Path()).run(stage, on_line=str)"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=repository) as flow:
        while not pids.exists() or not pids.read_text():
            time.sleep(0.05)
        family = {child.pid for child in psutil.Process(flow.pid).children(recursive=True)}
        assert {int(pid) for pid in pids.read_text().split()} <= family

        flow.kill()

    deadline = time.monotonic() + 20
    while any(map(is_running, family)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
