"""The processes of the other ranks run the command of this one and end with it; here it is a small program."""

import os
import subprocess
import sys
import time

import psutil
import pytest

from glamm.errors import HostError, RunInterrupted
from glamm.training.rank_launcher import RankProcesses, is_first_process

WAIT = "import os; os.read(0, 1)"


@pytest.fixture
def run_as(monkeypatch):
    """Pretend that this process was started as `python -c PROGRAM`."""
    for name in ("LOCAL_RANK", "GLAMM_CHILD_PROCESS"):
        monkeypatch.delenv(name, raising=False)

    def run(program):
        monkeypatch.setattr(sys, "orig_argv", ["python", "-c", program])

    return run


def children():
    return psutil.Process().children()


def test_one_device_starts_no_process(run_as):
    before = children()

    with RankProcesses(1):
        assert children() == before
        assert "LOCAL_RANK" not in os.environ


def test_every_further_device_gets_a_process_that_knows_its_rank(run_as, tmp_path):
    run_as(
        f"import os; open(os.path.join({str(tmp_path)!r}, os.environ['LOCAL_RANK']), 'w').write("
        "os.environ['WORLD_SIZE'])"
    )

    with RankProcesses(3):
        assert is_first_process()
        assert os.environ["MASTER_ADDR"] == "127.0.0.1"

    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"1": "3", "2": "3"}
    assert "LOCAL_RANK" not in os.environ


def test_processes_of_a_launcher_start_no_process(run_as, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    before = children()

    with RankProcesses(2):
        assert children() == before
        assert not is_first_process()


def test_error_in_this_process_ends_the_others(run_as):
    run_as(WAIT)
    before = children()

    with pytest.raises(ZeroDivisionError), RankProcesses(3):
        _ = (len(children()) - len(before) - 2) / 0

    assert children() == before


def test_failure_of_another_process_is_shown_instead_of_the_lost_connection(run_as, capsys):
    run_as("import sys; sys.stderr.write('error: the shard is damaged\\n'); sys.exit(3)")

    with pytest.raises(SystemExit) as caught, RankProcesses(2):
        raise RuntimeError("Connection closed by peer")

    assert caught.value.code == 3
    assert capsys.readouterr().err == "error: the shard is damaged\n"


def test_killed_process_is_reported(run_as):
    run_as("import os; os.kill(os.getpid(), 9)")

    reason = "process 2 of 2 ended with SIGKILL"
    with pytest.raises(HostError, match=reason), RankProcesses(2):
        raise RuntimeError("Connection closed by peer")


def test_interrupted_run_waits_for_the_others(run_as, tmp_path):
    run_as(f"import time; time.sleep(0.3); open({str(tmp_path / 'done')!r}, 'w')")

    with pytest.raises(RunInterrupted), RankProcesses(2):
        raise RunInterrupted("SIGTERM")

    assert (tmp_path / "done").exists()


def test_other_processes_end_when_this_one_is_killed(tmp_path):
    (tmp_path / "program.py").write_text(
        "import os, pathlib, time\n"
        "from glamm.training.rank_launcher import RankProcesses\n"
        "with RankProcesses(2):\n"
        "    pathlib.Path(os.environ['LOCAL_RANK']).touch()\n"
        "    time.sleep(600)\n"
    )
    environment = {name: text for name, text in os.environ.items() if name != "LOCAL_RANK"}
    with subprocess.Popen([sys.executable, "program.py"], cwd=tmp_path, env=environment) as parent:
        deadline = time.monotonic() + 30
        while not (tmp_path / "1").exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        (child,) = psutil.Process(parent.pid).children()

        parent.kill()

        child.wait(timeout=10)
