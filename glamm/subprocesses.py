"""Processes: started, followed, and ended with the process that started them, also when that one was killed.

| what is started | with |
|---|---|
| a program | `run_supervised`, `supervised`, `ProcessGroups` |
| functions of ours in parallel | `glamm.process_pool.worker_pool` |
| a Python process of ours | any way; it calls `end_with_parent` |
"""

import errno
import io
import os
import random
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, cast

from glamm import supervisor
from glamm.errors import HostError, RunInterrupted
from glamm.stop_request import uninterrupted
from glamm.supervisor import end_process_groups, wait_for_end_of

LOOPBACK = "127.0.0.1"
GRACE_S = 15.0

_PORTS = range(20_000, 32_000)
"""Below those that the system gives to outgoing connections, which could take a port before its user does."""

Stream = int | IO[bytes] | None


def end_with_parent(parent: int) -> None:
    """End this process at once, with exit code 1, when the process that started it has ended.

    Args:
        parent: Process id of the process that started this one; it passes its own `os.getpid()`.
    """

    def end() -> None:
        wait_for_end_of(parent)
        os._exit(1)

    threading.Thread(target=end, daemon=True).start()


def start_supervised(
    command: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: Stream = subprocess.DEVNULL,
    stdout: Stream = None,
    stderr: Stream = None,
    grace_s: float = GRACE_S,
) -> subprocess.Popen[bytes]:
    """Start a program as the leader of a process group that ends with this process.

    To end it earlier, pass the `pid` of the result to `end_process_groups`.

    Args:
        command: The program and its arguments.
        cwd: Its working directory; this process's by default.
        env: Its whole environment; this process's by default.
        stdin: As of `subprocess.Popen`; empty by default.
        stdout: As of `subprocess.Popen`.
        stderr: As of `subprocess.Popen`.
        grace_s: If this process ends first, seconds between SIGTERM and SIGKILL for the group.

    Returns:
        The leader. Its exit code is the command's, negative for the signal that ended it.

    Raises:
        FileNotFoundError: There is no such program.
    """
    path = (os.environ if env is None else env).get("PATH", os.defpath)
    if shutil.which(command[0], path=path) is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), command[0])
    return subprocess.Popen(
        # -P keeps this package's folder, with its own `typing`, off the supervisor's import path
        [sys.executable, "-P", supervisor.__file__, str(os.getpid()), str(grace_s), *command],
        cwd=cwd,
        env=env,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        start_new_session=True,
    )


def run_supervised(
    command: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdout: Stream = None,
    stderr: Stream = None,
    timeout_s: float | None = None,
    grace_s: float = GRACE_S,
) -> subprocess.CompletedProcess[bytes]:
    """Run a program to its end, as `subprocess.run` does; nothing that it started is left if this call fails.

    Args:
        command: The program and its arguments; it reads no input.
        cwd: Its working directory; this process's by default.
        env: Its whole environment; this process's by default.
        stdout: As of `subprocess.run`.
        stderr: As of `subprocess.run`.
        timeout_s: Seconds until it is ended; no limit by default.
        grace_s: Seconds between SIGTERM and SIGKILL when it is ended early.

    Raises:
        FileNotFoundError: There is no such program.
        subprocess.TimeoutExpired: It took longer than `timeout_s`.
    """
    with supervised(
        command, cwd=cwd, env=env, stdout=stdout, stderr=stderr, grace_s=grace_s
    ) as process:
        output, errors = process.communicate(timeout=timeout_s)
    return subprocess.CompletedProcess(command, process.returncode, output, errors)


@contextmanager
def supervised(
    command: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: Stream = subprocess.DEVNULL,
    stdout: Stream = None,
    stderr: Stream = None,
    grace_s: float = GRACE_S,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program while the block runs; the end of the block ends it with everything that it started.

    Args:
        command: The program and its arguments.
        cwd: Its working directory; this process's by default.
        env: Its whole environment; this process's by default.
        stdin: As of `subprocess.Popen`; empty by default.
        stdout: As of `subprocess.Popen`.
        stderr: As of `subprocess.Popen`.
        grace_s: Seconds between SIGTERM and SIGKILL.

    Yields:
        The leader of its process group.

    Raises:
        FileNotFoundError: There is no such program.
    """
    process: subprocess.Popen[bytes] | None = None
    try:
        with uninterrupted():
            process = start_supervised(
                command,
                cwd=cwd,
                env=env,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                grace_s=grace_s,
            )
        yield process
    finally:
        if process is not None:
            with uninterrupted():
                if process.poll() is None:
                    end_process_groups([process.pid], grace_s=grace_s)
                _close(process)


def _close(process: subprocess.Popen[bytes]) -> None:
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            with suppress(OSError):  # input that it did not read
                stream.close()
    process.wait()


class ProcessGroups:
    """Runs programs, each as the leader of its own process group, and can end them all.

    Safe to use from several threads: each calls `run`, one calls `stop`.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._leaders: set[int] = set()
        self._is_stopped = False

    def run(
        self,
        command: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        on_line: Callable[[str], None],
    ) -> int:
        """Run a program to its end.

        Args:
            command: The program and its arguments.
            cwd: Its working directory.
            env: Its whole environment.
            on_line: Called with each line of its output and errors as it comes, without the line end.

        Returns:
            The exit code; negative for the signal that ended it.

        Raises:
            RunInterrupted: `stop` was called before the program could start.
        """
        with self._start(command, cwd=cwd, env=env) as process:
            output = io.TextIOWrapper(
                cast("IO[bytes]", process.stdout), encoding="utf-8", errors="replace"
            )
            try:
                for line in output:
                    on_line(line.rstrip())
                return process.wait()
            finally:
                with self._lock:
                    self._leaders.discard(process.pid)

    def stop(self, *, grace_s: float) -> None:
        """End every running program with its children, and start no more.

        Args:
            grace_s: Seconds between SIGTERM and SIGKILL.
        """
        with self._lock:
            self._is_stopped = True
            leaders = set(self._leaders)
        end_process_groups(leaders, grace_s=grace_s)

    def _start(
        self, command: Sequence[str], *, cwd: Path, env: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._is_stopped:
                raise RunInterrupted(
                    f"not started, because the run is being stopped: {' '.join(command)}"
                )
            process = start_supervised(
                command, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )
            self._leaders.add(process.pid)
            return process


def free_port() -> int:
    """A port of the loopback address on which nothing listens.

    Raises:
        HostError: All ports of the range are taken.
    """
    for port in random.SystemRandom().sample(_PORTS, len(_PORTS)):
        with socket.socket() as probe:
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
            return port
    raise HostError(f"no port from {_PORTS.start} to {_PORTS.stop - 1} is free on {LOOPBACK}")


def check_port(host: str, port: int, *, remedy: str) -> None:
    """Check that a server can listen on a port.

    Args:
        host: Name or IPv4 address of an interface of this machine.
        port: From 1 to 65535.
        remedy: The end of the error message: what to do if the port is taken.

    Raises:
        HostError: It cannot listen there.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise HostError(
                f"{host}:{port} cannot be listened on ({error.strerror}): {remedy}"
            ) from error
