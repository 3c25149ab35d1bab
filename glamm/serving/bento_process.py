"""Runs the service as a separate process, and ends it with everything that it started."""

import contextlib
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path

from glamm.errors import HostError
from glamm.subprocesses import LOOPBACK, check_port, end_process_groups, supervised

START_SECONDS = 180.0
_STOP_SECONDS = 15.0  # for the answers under way
_START_GRACE_SECONDS = 2.0
_POLL_SECONDS = 0.1
_LAST_LINES = 25
# BentoML restarts such a worker for ever.
_STARTUP_FAILURE = "Application startup failed"


@dataclass(frozen=True, slots=True)
class RunningService:
    """A service that is ready for requests.

    Args:
        url: Its address, without a slash at the end.
        start_seconds: Time from the start of the process until it was ready.
        process: The leader of its process group.
        log: The file with its output.
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
    scratch: Path,
    host: str = LOOPBACK,
) -> Generator[RunningService]:
    """Start `bentoml serve`, and end it with the block; it also ends if this process is killed.

    Args:
        target: A Bento's tag, or module:Service.
        folder: Working directory of the process, from which it imports first.
        environment: The process's whole environment.
        port: The port to listen on.
        scratch: A folder for the process's output and its temporary files.
        host: The address to listen on.

    Raises:
        HostError: The port is taken, or the service ended or was not ready in time; the message contains the end of
            its output.
    """
    check_port(host, port, remedy="choose another port with --port")
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
    log = scratch / "service.log"
    reachable = LOOPBACK if host in {"0.0.0.0", "::"} else host  # noqa: S104 - compared, not bound
    url = f"http://{reachable}:{port}"
    with (
        log.open("wb") as stream,
        supervised(
            command,
            cwd=folder,
            env={**environment, "TMPDIR": str(scratch)},
            stdout=stream,
            stderr=subprocess.STDOUT,
            grace_s=_STOP_SECONDS,
        ) as process,
    ):
        try:
            _wait_until_ready(url, process, log, deadline=started_at + START_SECONDS)
        except BaseException:
            end_process_groups([process.pid], grace_s=_START_GRACE_SECONDS)
            raise
        yield RunningService(url, time.monotonic() - started_at, process, log)


def last_lines(log: Path) -> str:
    """The end of a log file."""
    return "\n".join(log.read_text(errors="replace").strip().splitlines()[-_LAST_LINES:])


def _wait_until_ready(
    url: str, process: subprocess.Popen[bytes], log: Path, *, deadline: float
) -> None:
    while not _is_ready(url):
        if process.poll() is not None or _STARTUP_FAILURE in log.read_text(errors="replace"):
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
