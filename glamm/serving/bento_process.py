"""A service in a process of its own: started, waited for, ended with everything it started."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path

from glamm.errors import HostError

HOST = "127.0.0.1"
START_SECONDS = 180.0
_STOP_SECONDS = 20.0
_POLL_SECONDS = 0.1
_LAST_LINES = 25
_GAVE_UP = (
    "Application startup failed"  # BentoML's supervisor would start such a worker again for ever
)


@dataclass(frozen=True, slots=True)
class RunningService:
    """A service that answers.

    Args:
        url: Its address, without a slash at the end.
        start_seconds: From the start of the process until it was ready.
        process: The process, leader of a group of its own.
        log: What it has written.
    """

    url: str
    start_seconds: float
    process: subprocess.Popen[bytes]
    log: Path


@contextlib.contextmanager
def running_service(
    target: str,
    *,
    folder: Path,
    environment: Mapping[str, str],
    port: int,
    log: Path,
    host: str = HOST,
) -> Generator[RunningService]:
    """Start `bentoml serve` and stop it at the end of the block, whatever happens in it.

    Args:
        target: A Bento's tag, or module:Service.
        folder: Working directory of the process; its code comes first.
        environment: Of the process.
        port: To listen on.
        log: File for what the process writes.
        host: To listen on.

    Raises:
        HostError: The port is taken, or the service ended or was not ready in time; the message has its
            last lines.
    """
    _check_port(host, port)
    command = [
        sys.executable,
        "-m",
        "bentoml",
        "serve",
        target,
        "--host",
        host,
        "--port",
        str(port),
    ]
    started_at = time.monotonic()
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # one signal must reach the server and its workers
        )
    reachable = HOST if host in {"0.0.0.0", "::"} else host  # noqa: S104 - compared, not bound
    url = f"http://{reachable}:{port}"
    try:
        _wait_until_ready(url, process, log, deadline=started_at + START_SECONDS)
        yield RunningService(url, time.monotonic() - started_at, process, log)
    finally:
        _stop(process)


def free_port() -> int:
    """A port of the loopback that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        return int(listener.getsockname()[1])


def last_lines(log: Path) -> str:
    """The end of what a process wrote."""
    return "\n".join(log.read_text(errors="replace").strip().splitlines()[-_LAST_LINES:])


def _check_port(host: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise HostError(
                f"{host}:{port} cannot be listened on ({error.strerror}): name another with --port"
            ) from error


def _wait_until_ready(
    url: str, process: subprocess.Popen[bytes], log: Path, *, deadline: float
) -> None:
    while not _is_ready(url):
        if process.poll() is not None or _GAVE_UP in log.read_text(errors="replace"):
            raise HostError(f"the service did not start. Its last lines:\n{last_lines(log)}")
        if time.monotonic() > deadline:
            raise HostError(
                f"the service was not ready after {START_SECONDS:.0f} seconds. Its last lines:\n{last_lines(log)}"
            )
        time.sleep(_POLL_SECONDS)


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=5) as response:  # noqa: S310 - our own address
            return response.status == 200
    except (urllib.error.URLError, OSError):
        return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the whole group: politely first, so that running questions end."""
    for code in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, code)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_SECONDS)
            return
