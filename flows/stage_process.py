"""Commands that end as a whole: a stopped `dvc` alone would leave its stage running."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, cast

import psutil

from glamm.errors import RunInterrupted

POLL_S = 0.1


class ProcessGroups:
    """Runs commands, each as the leader of its own process group, and can end them all.

    Safe to use from several threads: each calls `run`, one calls `stop`.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._leaders: set[int] = set()
        self._stopped = False

    def run(
        self,
        command: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        on_line: Callable[[str], None],
    ) -> int:
        """Run a command to its end.

        Args:
            command: The program and its arguments.
            cwd: Where it runs.
            env: Its whole environment.
            on_line: Called with each line of its output and errors as it comes, without the line end.

        Returns:
            The exit code; negative for the signal that ended it.

        Raises:
            RunInterrupted: `stop` was called before the command could start.
        """
        with self._start(command, cwd=cwd, env=env) as process:
            try:
                for line in cast("IO[str]", process.stdout):
                    on_line(line.rstrip())
                return process.wait()
            finally:
                with self._lock:
                    self._leaders.discard(process.pid)

    def stop(self, *, grace_s: float) -> None:
        """Ask every running command and its children to end, wait, and end by force what is left.

        Args:
            grace_s: Seconds to wait between asking (SIGTERM) and forcing (SIGKILL). Prefect forces after 30.
        """
        with self._lock:
            self._stopped = True
            leaders = set(self._leaders)
        end_groups(leaders, grace_s=grace_s)

    def _start(
        self, command: Sequence[str], *, cwd: Path, env: Mapping[str, str]
    ) -> subprocess.Popen[str]:
        with self._lock:
            if self._stopped:
                raise RunInterrupted(
                    f"not started, because the run is being stopped: {' '.join(command)}"
                )
            process = subprocess.Popen(
                command,
                cwd=cwd,
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                encoding="utf-8",
                errors="replace",
                bufsize=1,
                start_new_session=True,
            )
            self._leaders.add(process.pid)
            return process


def end_groups(leaders: set[int], *, grace_s: float) -> None:
    """End process groups: SIGTERM, at most `grace_s` seconds of patience, then SIGKILL.

    Args:
        leaders: The process ids of the groups' leaders, which are the groups' ids.
        grace_s: Seconds between the two signals.
    """
    _signal(leaders, signal.SIGTERM)
    deadline = time.monotonic() + grace_s
    while (
        alive := {leader for leader in leaders if _is_alive(leader)}
    ) and time.monotonic() < deadline:
        time.sleep(POLL_S)
    _signal(alive, signal.SIGKILL)


def _signal(leaders: set[int], number: signal.Signals) -> None:
    for leader in leaders:
        with suppress(ProcessLookupError):
            os.killpg(leader, number)


def _is_alive(leader: int) -> bool:
    """Whether any process of the group still runs; ended ones that nobody has collected do not count."""
    for process in psutil.process_iter(["status"]):
        with suppress(ProcessLookupError):
            if os.getpgid(process.pid) == leader and process.info["status"] != psutil.STATUS_ZOMBIE:
                return True
    return False
