"""Processes end with the one that started them, also when that one is killed."""

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from glamm.errors import HostError, RunInterrupted
from glamm.subprocesses import (
    ProcessGroups,
    check_port,
    end_process_groups,
    free_port,
    run_supervised,
    start_supervised,
)
from tests.builders.processes import children_of, is_running, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

# Writes the process ids of a program and of its child, then waits.
FAMILY = """
import os, pathlib, subprocess, sys, signal
{setup}
child = subprocess.Popen([sys.executable, "-c", '''{setup}
import signal, time
time.sleep(600)'''], start_new_session={is_detached})
pathlib.Path(sys.argv[1]).write_text(f"{{os.getpid()}} {{child.pid}}.")
child.wait()
"""
IGNORE_SIGTERM = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)"
POLITE = FAMILY.format(setup="", is_detached=False)
STUBBORN = FAMILY.format(setup=IGNORE_SIGTERM, is_detached=False)
DETACHED = FAMILY.format(setup="", is_detached=True)
RUN_SUPERVISED = """
import sys
from glamm.subprocesses import run_supervised
run_supervised([sys.executable, "-c", sys.argv[1], sys.argv[2]], grace_s=0.5)
"""


def read_family(path: Path) -> list[int]:
    wait_until(lambda: path.exists() and path.read_text().endswith("."))
    return [int(pid) for pid in path.read_text()[:-1].split()]


@pytest.mark.parametrize(
    "program",
    [POLITE, STUBBORN, DETACHED],
    ids=["polite", "ignores-sigterm", "child-in-its-own-session"],
)
def test_program_and_its_child_end_when_the_parent_is_killed(start_parent, tmp_path, program):
    parent = start_parent("-c", RUN_SUPERVISED, program, tmp_path / "pids")
    family = {*read_family(tmp_path / "pids"), *children_of(parent)}
    assert len(family) == 3  # the supervisor, the program and its child

    parent.kill()

    wait_until(lambda: not any(map(is_running, family)))


def test_program_gets_its_time_to_finish_when_the_parent_is_killed(start_parent, tmp_path):
    program = """
import pathlib, signal, sys, time
def finish(*_):
    time.sleep(0.3)
    pathlib.Path(sys.argv[1]).write_text("saved")
    sys.exit()
signal.signal(signal.SIGTERM, finish)
pathlib.Path(sys.argv[1]).write_text("started")
time.sleep(600)
"""
    code = RUN_SUPERVISED.replace("0.5", "20")
    parent = start_parent("-c", code, program, tmp_path / "state")
    wait_until((tmp_path / "state").exists)

    parent.kill()

    wait_until(lambda: (tmp_path / "state").read_text() == "saved")


def test_program_is_killed_with_its_supervisor(tmp_path):
    process = start_supervised([sys.executable, "-c", POLITE, str(tmp_path / "pids")])
    with process:
        program, child = read_family(tmp_path / "pids")

        process.kill()

        wait_until(lambda: not is_running(program))
        os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("raise SystemExit(7)", 7),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
    ],
    ids=["exit-code", "sigterm", "sigkill"],
)
def test_exit_code_is_that_of_the_program(code, expected):
    assert run_supervised([sys.executable, "-c", code]).returncode == expected


def test_signal_to_the_group_reaches_the_program_once(tmp_path):
    program = """
import pathlib, signal, sys, time
received = []
signal.signal(signal.SIGUSR1, lambda number, _: received.append(number))
pathlib.Path(sys.argv[1]).touch()
while not received:
    time.sleep(0.01)
time.sleep(0.2)
sys.exit(len(received))
"""
    process = start_supervised([sys.executable, "-c", program, str(tmp_path / "ready")])
    wait_until((tmp_path / "ready").exists)

    os.killpg(process.pid, signal.SIGUSR1)

    assert process.wait(timeout=30) == 1


def test_program_finds_its_folder_environment_and_streams(tmp_path):
    code = "import os, sys; print(os.getcwd(), sorted(os.environ)); sys.stderr.write('error')"
    env = {"LANG": "C.UTF-8"}

    done = run_supervised(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )

    assert done.stdout.decode().split(maxsplit=1) == [str(tmp_path), "['LANG']\n"]
    assert done.stderr == b"error"


def test_missing_program_is_an_error():
    with pytest.raises(FileNotFoundError, match="no-such-program"):
        run_supervised(["no-such-program"])


def test_program_that_takes_too_long_is_ended_with_its_child(tmp_path):
    command = [sys.executable, "-c", STUBBORN, str(tmp_path / "pids")]

    with pytest.raises(subprocess.TimeoutExpired, match="timed out"):
        run_supervised(command, timeout_s=3.0, grace_s=0.2)

    wait_until(lambda: not any(map(is_running, read_family(tmp_path / "pids"))))


def test_groups_end_together_and_nothing_starts_afterwards(tmp_path):
    groups = ProcessGroups()
    codes = []

    def run(name):
        command = [sys.executable, "-c", POLITE, str(tmp_path / name)]
        codes.append(groups.run(command, cwd=tmp_path, env=os.environ, on_line=str))

    threads = [threading.Thread(target=run, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    families = [*read_family(tmp_path / "a"), *read_family(tmp_path / "b")]

    groups.stop(grace_s=20.0)
    for thread in threads:
        thread.join(timeout=20)

    assert codes == [-signal.SIGTERM] * 2
    assert not any(map(is_running, families))
    with pytest.raises(RunInterrupted, match="not started"):
        run("c")


def test_lines_arrive_while_the_program_runs(tmp_path):
    groups = ProcessGroups()
    code = "print('first', flush=True); import pathlib, time\nwhile not pathlib.Path('go').exists(): time.sleep(0.01)\nprint('é\\nlast')"
    lines = []

    def note(line):
        lines.append(line)
        (tmp_path / "go").touch()

    exit_code = groups.run([sys.executable, "-c", code], cwd=tmp_path, env=os.environ, on_line=note)

    assert (exit_code, lines) == (0, ["first", "é", "last"])


def test_group_that_ignores_sigterm_is_killed(tmp_path):
    process = start_supervised([sys.executable, "-c", STUBBORN, str(tmp_path / "pids")])
    family = read_family(tmp_path / "pids")

    end_process_groups([process.pid], grace_s=0.2)

    process.wait(timeout=10)
    wait_until(lambda: not any(map(is_running, family)))


def test_free_port_can_be_listened_on():
    port = free_port()

    check_port("127.0.0.1", port, remedy="")
    with socket.create_server(("127.0.0.1", port)):
        pass


def test_taken_port_is_an_error_with_a_remedy():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        with pytest.raises(HostError, match=rf"127\.0\.0\.1:{port} .* \(.+\): use another"):
            check_port("127.0.0.1", port, remedy="use another")
