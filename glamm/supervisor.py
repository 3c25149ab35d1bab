"""Runs one command, and ends it with everything that it started when the process that started it has ended.

`glamm.subprocesses` puts this file in front of a command. It is started by its path, so it works from every folder
and with every `PYTHONPATH`, and it imports nothing but the standard library until it has to end something.

    python -P supervisor.py PARENT_PID GRACE_S COMMAND [ARGUMENT ...]
"""

import ctypes
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil

POLL_S = 0.1

_COMMAND_NOT_STARTED = 127  # as a shell reports it
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_PR_SET_CHILD_SUBREAPER = 36
_SIGNALS_FOR_THE_COMMAND = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGUSR1,
    signal.SIGUSR2,
)


def wait_for_end_of(parent: int) -> None:
    """Return when the process that started this one has ended, also when it was killed.

    Args:
        parent: Its process id, as the parent itself knows it: after the parent's end the system names another one.
    """
    while os.getppid() == parent:
        time.sleep(POLL_S)


def end_process_groups(leaders: Iterable[int], *, grace_s: float) -> None:
    """End process groups: SIGTERM, at most `grace_s` seconds to finish, then SIGKILL.

    Processes that their leaders started and that left the group, such as the workers of BentoML, get no SIGTERM: the
    process that started them passes it on. They have the same time to finish, and are killed as well.

    Args:
        leaders: Process ids of the groups' leaders, which are the groups' ids.
        grace_s: Seconds between the two signals.
    """
    import psutil  # noqa: PLC0415 - most commands end by themselves

    groups = set(leaders)
    family = _descendants(
        groups
    )  # before the signal: nobody knows the children of a process that has ended
    _send(signal.SIGTERM, groups)
    deadline = time.monotonic() + grace_s
    while (running := _running(groups, family)) and time.monotonic() < deadline:
        time.sleep(POLL_S)
    for process in running:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    _send(signal.SIGKILL, groups & set(running.values()))  # with what they started meanwhile


def _send(number: signal.Signals, groups: set[int]) -> None:
    for group in groups:
        with suppress(ProcessLookupError):
            os.killpg(group, number)


def _descendants(leaders: set[int]) -> "set[psutil.Process]":
    import psutil  # noqa: PLC0415

    descendants: set[psutil.Process] = set()
    for leader in leaders:
        with suppress(psutil.NoSuchProcess):
            descendants.update(psutil.Process(leader).children(recursive=True))
    return descendants


def _running(groups: set[int], family: "set[psutil.Process]") -> "dict[psutil.Process, int]":
    """The processes of the groups and of the family that run, with their groups; without this one and without zombies."""
    import psutil  # noqa: PLC0415

    running: dict[psutil.Process, int] = {}
    for process in psutil.process_iter(["status"]):
        with suppress(ProcessLookupError):
            group = os.getpgid(process.pid)
            is_running = process.info["status"] != psutil.STATUS_ZOMBIE
            is_member = group in groups or process in family
            if is_member and is_running and process.pid != os.getpid():
                running[process] = group
    return running


def supervise(command: list[str], *, parent: int, grace_s: float) -> int:
    """Run a command in the group that this process leads, and return its exit code.

    Signals go to the whole group: the command acts on them, this process waits for it. If the command fails or is
    killed, what it started and left running is ended (on Linux also what has left the group). If this process is
    killed, so is the command (on Linux), but not what the command started.

    Args:
        command: The program and its arguments.
        parent: Process id of the process that started this one.
        grace_s: Seconds that the group gets between SIGTERM and SIGKILL when the parent has ended.

    Returns:
        The command's exit code; 127 if it cannot be started. A signal that ended the command ends this process too.
    """
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    try:
        process = subprocess.Popen(command, preexec_fn=_die_with_supervisor)  # noqa: PLW1509 - no threads yet
    except OSError as error:
        sys.stderr.write(f"{command[0]}: {error.strerror}\n")
        return _COMMAND_NOT_STARTED
    for number in _SIGNALS_FOR_THE_COMMAND:
        signal.signal(number, _do_nothing)

    def end_group() -> None:
        wait_for_end_of(parent)
        end_process_groups([os.getpid()], grace_s=grace_s)

    watcher = threading.Thread(target=end_group, daemon=True)
    watcher.start()
    code = process.wait()
    if os.getppid() != parent:
        watcher.join()  # the command has ended; what it started may still run
    elif code and _has_children():
        _end_children(grace_s=grace_s)
    if code < 0:
        _end_by_signal(-code)
    return code


def _die_with_supervisor() -> None:
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _end_children(*, grace_s: float) -> None:
    import psutil  # noqa: PLC0415

    for child in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):
            child.terminate()  # the process that would have passed it on has ended
    end_process_groups([os.getpid()], grace_s=grace_s)


def _has_children() -> bool:
    """Whether something that the command started still runs: its parent has ended, so it is a child of this process."""
    with suppress(ChildProcessError):
        while True:
            pid, _ = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return True
    return False


def _do_nothing(_number: int, _frame: object) -> None:
    """A handler, because ignored signals would stay ignored in a command that is started later."""


def _end_by_signal(number: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # the command has dumped its own core
    with suppress(OSError):  # SIGKILL takes no handler
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


if __name__ == "__main__":
    sys.exit(supervise(sys.argv[3:], parent=int(sys.argv[1]), grace_s=float(sys.argv[2])))
