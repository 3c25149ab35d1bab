"""How a stage's end is read from what DVC writes, and how it is ended."""

import threading
import time
from pathlib import Path

import psutil
import pytest

from flows.stages import StageRunner, all_outcomes


def is_alive(pid: int) -> bool:
    # An ended child that its parent has not collected still has its id.
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


pytestmark = [pytest.mark.slow, pytest.mark.e2e]


def test_stage_completes_once_and_is_skipped_afterwards(repository: Path):
    lines: list[str] = []
    runner = StageRunner(repository)

    first = runner.run("synth", on_line=lines.append)
    second = runner.run("synth", on_line=lines.append)

    assert (first.state, second.state) == ("Completed", "Skipped")
    assert "synth: at work" in lines


def test_failing_stage_tells_its_last_lines(repository: Path):
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
    assert not any(is_alive(int(pid)) for pid in pids.read_text().split())
    assert runner.run("evaluate@val", on_line=str).state == "Cancelled"
