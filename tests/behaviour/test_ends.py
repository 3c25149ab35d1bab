"""Every command ends with everything that it started when a signal ends it, and leaves no folder behind."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.builders.processes import children_of, is_running, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

SIGNALS = [signal.SIGTERM, signal.SIGHUP, signal.SIGINT]
NAMES = [number.name for number in SIGNALS]

# A command of this project that starts a program in a scratch folder, which its children use, and waits.
WAITING = """
import sys
from pathlib import Path
from glamm.command_line import run_command_line
from glamm.files import replacing, scratch_folder
from glamm.process_pool import worker_pool
from glamm.subprocesses import supervised

def write(path):
    with replacing(Path(path)) as part:
        part.write_text("half")
        Path(path + ".begun").touch()
        import time; time.sleep(600)

def command():
    {body}

if __name__ == "__main__":
    run_command_line(command)
"""
PROGRAM = """
    with scratch_folder("glamm-test-") as folder:
        with supervised([sys.executable, "-c", "import time, pathlib; pathlib.Path('started').touch(); time.sleep(600)"]) as process:
            (folder / "file").touch()
            process.wait()
"""
POOL = """
    with worker_pool(2) as run:
        list(run(write, ["first", "second"]))
"""


class Command:
    """A command in a process group of its own, with an empty folder for temporary files."""

    def __init__(self, folder: Path, arguments: list[str], **options) -> None:
        self.folder = folder
        self.temporary = folder / "temporary"
        self.temporary.mkdir()
        self.process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=folder,
            env=os.environ | {"TMPDIR": str(self.temporary)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            **options,
        )
        self.family: set[int] = set()

    def wait_for(self, pattern: str, *, count: int = 1) -> None:
        """Wait until files appear below the command's folder."""
        wait_until(
            lambda: (
                len(list(self.folder.rglob(pattern))) >= count or self.process.poll() is not None
            ),
            seconds=60,
        )
        assert self.process.poll() is None, self.process.communicate()
        self.family = children_of(self.process)

    def end(self, number: signal.Signals) -> tuple[int, str]:
        """Send a signal to the command alone, and wait for its exit code and output."""
        self.family |= children_of(self.process)
        self.process.send_signal(number)
        output, _ = self.process.communicate(timeout=50)
        return self.process.returncode, output

    def left_over(self) -> list[str]:
        """What it has left in its folder for temporary files; torch's cache is the same for all programs."""
        names = (path.name for path in self.temporary.iterdir())
        return [name for name in names if not name.startswith("torchinductor")]


@pytest.fixture
def start(tmp_path):
    """Start a command; it is killed with its children at the latest when the test ends."""
    commands: list[Command] = []

    def start_command(*arguments: str, **options) -> Command:
        commands.append(Command(tmp_path, list(arguments), **options))
        return commands[-1]

    yield start_command
    for command in commands:
        command.process.kill()
        command.process.communicate()
        for pid in filter(is_running, command.family):
            psutil.Process(pid).kill()


@pytest.fixture
def start_body(start, tmp_path):
    def start_with(body: str, **options) -> Command:
        (tmp_path / "command.py").write_text(WAITING.format(body=body.strip()))
        return start("command.py", **options)

    return start_with


@pytest.mark.parametrize("number", SIGNALS, ids=NAMES)
@pytest.mark.parametrize(
    ("body", "started", "count"),
    [(PROGRAM, "started", 1), (POOL, "*.begun", 2)],
    ids=["program", "worker-pool"],
)
def test_signal_ends_what_a_command_started(start_body, tmp_path, body, started, count, number):
    command = start_body(body)
    command.wait_for(started, count=count)

    code, output = command.end(number)

    assert code == 128 + number
    assert output == f"interrupted: {number.name}: ended; what was finished before is kept\n"
    assert command.left_over() == []
    assert list(tmp_path.glob(".*.part")) == []
    wait_until(lambda: not any(map(is_running, command.family)), seconds=5)


@pytest.mark.parametrize("body", [PROGRAM, POOL], ids=["program", "worker-pool"])
def test_killed_command_takes_its_children_with_it(start_body, body):
    command = start_body(body)
    command.wait_for("started" if body is PROGRAM else "*.begun")

    command.end(signal.SIGKILL)

    wait_until(lambda: not any(map(is_running, command.family)))


def ignore(number: signal.Signals):
    return lambda: signal.signal(number, signal.SIG_IGN)


@pytest.mark.parametrize("number", SIGNALS, ids=NAMES)
def test_ignored_signal_stays_ignored(start_body, number):
    """`nohup` ignores SIGHUP, a shell's background job SIGINT."""
    command = start_body(PROGRAM, preexec_fn=ignore(number))
    command.wait_for("started")

    command.process.send_signal(number)
    other = signal.SIGTERM if number is signal.SIGHUP else signal.SIGHUP
    code, output = command.end(other)

    assert code == 128 + other
    assert other.name in output


def test_second_signal_does_not_disturb_the_end(start_body):
    body = PROGRAM.replace(
        "import time, pathlib;",
        "import time, pathlib, signal; signal.signal(signal.SIGTERM, lambda *_: (pathlib.Path('asked').touch(), time.sleep(0.5), exit()));",
    )
    command = start_body(body)
    command.wait_for("started")
    command.process.send_signal(signal.SIGTERM)
    wait_until((command.folder / "asked").exists)

    code, _ = command.end(signal.SIGHUP)

    assert code == 143
    assert command.left_over() == []


@pytest.mark.parametrize("number", SIGNALS, ids=NAMES)
@pytest.mark.parametrize(
    "statement",
    [
        "exec('os.kill(os.getpid(), number)')",  # CPython remembers a KeyboardInterrupt in `exec`
        "weakref.finalize(Thing(), os.kill, os.getpid(), number)",  # a callback swallows exceptions
        "Killer()",  # as does a destructor
    ],
    ids=["exec", "finalizer", "destructor"],
)
def test_exit_code_is_that_of_the_signal_wherever_it_hits(start, tmp_path, statement, number):
    (tmp_path / "command.py").write_text(f"""
import os, time, weakref
from glamm.command_line import run_command_line
number = {int(number)}

class Thing: pass

class Killer:
    def __del__(self):
        os.kill(os.getpid(), number)

def command():
    {statement}
    time.sleep(600)

run_command_line(command)
""")
    command = start("command.py")

    output, _ = command.process.communicate(timeout=30)

    assert command.process.returncode == 128 + number
    assert (
        output
        == f"interrupted: {signal.Signals(number).name}: ended; what was finished before is kept\n"
    )
