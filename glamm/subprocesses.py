"""Processes: started, followed, and ended with the process that started them, also when that one was killed.

| what is started | with |
|---|---|
| a program | `run_supervised`, `start_supervised`, `ProcessGroups` |
| functions of ours in parallel | `worker_pool` |
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
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from signal import SIG_BLOCK, SIG_IGN, SIG_SETMASK, SIG_UNBLOCK, SIGINT, pthread_sigmask, signal
from typing import IO, Protocol, TypeVar, cast, runtime_checkable

from glamm import supervisor
from glamm.errors import HostError, RunInterrupted
from glamm.supervisor import end_process_groups, wait_for_end_of

LOOPBACK = "127.0.0.1"
GRACE_S = 15.0

_PORTS = range(20_000, 32_000)
"""Below those that the system gives to outgoing connections, which could take a port before its user does."""

Item = TypeVar("Item")
Result = TypeVar("Result")

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
    process = start_supervised(
        command, cwd=cwd, env=env, stdout=stdout, stderr=stderr, grace_s=grace_s
    )
    with process:
        try:
            output, errors = process.communicate(timeout=timeout_s)
        except BaseException:
            end_process_groups([process.pid], grace_s=grace_s)
            raise
    return subprocess.CompletedProcess(command, process.returncode, output, errors)


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


@runtime_checkable
class OrderedMap(Protocol):
    """The built-in `map` of one iterable, or one over processes."""

    def __call__(
        self, function: Callable[[Item], Result], items: Iterable[Item], /
    ) -> Iterator[Result]:
        """Apply `function` to every item and yield the results in the order of the items."""
        ...


@contextmanager
def worker_pool(
    workers: int, *, initializer: Callable[[], None] | None = None
) -> Iterator[OrderedMap]:
    """Open a `map` over processes; with one worker it runs in this process.

    A few items are under way at a time, so memory stays flat however many there are. An error in a worker is raised
    where its result is read; items not yet begun are dropped then.

    Args:
        workers: How many processes, at least 1.
        initializer: Called once in every process, not in this one; picklable.
    """
    if workers == 1:
        yield map
        return
    pool = ProcessPoolExecutor(
        workers,
        mp_context=get_context("spawn"),
        initializer=_start_worker,
        initargs=(os.getpid(), initializer),
    )

    def ordered_map(
        function: Callable[[Item], Result], items: Iterable[Item], /
    ) -> Iterator[Result]:
        under_way: deque[Future[Result]] = deque()
        for item in items:
            with _interrupts_blocked():  # a submission may start a process, which inherits this
                under_way.append(pool.submit(function, item))
            if len(under_way) > workers + 1:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()

    try:
        yield ordered_map
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Hold back Ctrl-C until the end of the block, for this thread and for the processes that it starts."""
    before = pthread_sigmask(SIG_BLOCK, {SIGINT})
    try:
        yield
    finally:
        pthread_sigmask(SIG_SETMASK, before)


def _start_worker(parent: int, initializer: Callable[[], None] | None) -> None:
    signal(SIGINT, SIG_IGN)  # the parent ends the run; workers would only add their tracebacks
    pthread_sigmask(SIG_UNBLOCK, {SIGINT})
    end_with_parent(parent)
    if initializer is not None:
        initializer()


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
