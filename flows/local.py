"""A Prefect of the project's own on this machine: `python -m flows.local up`, `… down`.

`up` starts a server where pyproject.toml says that it is (`[tool.prefect.api] url`), makes the work pool `local`,
registers the deployments of prefect.yaml and starts a worker. Everything it keeps lies in `.prefect/`; process ids
and logs lie in `.runs/prefect/`.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
from cyclopts import App
from rich.console import Console

from glamm.errors import ConfigError, GlammError, HostError

POOL = "local"
WORKER = "glamm"
START_S = 180.0  # a first start migrates the database: 16 s on two idle cores
STOP_S = 40.0  # a worker gives its runs 30 seconds
POLL_S = 0.25

app = App(
    name="flows.local", help="Prefect on this machine: server, work pool, deployments, worker."
)


@dataclass(frozen=True)
class LocalPrefect:
    """Where a repository's own Prefect is.

    Args:
        root: The repository's top folder.
        url: The API's address, such as http://127.0.0.1:4200/api.
    """

    root: Path
    url: str

    @property
    def state_folder(self) -> Path:
        """Process ids and logs."""
        return self.root / ".runs" / "prefect"

    @property
    def address(self) -> tuple[str, int]:
        """(host, port) of the server."""
        parts = urlsplit(self.url)
        return parts.hostname or "127.0.0.1", parts.port or 4200

    def environment(self) -> dict[str, str]:
        """Environment of the server, the worker and what they start: no network but the loopback."""
        return {
            **os.environ,
            "PATH": os.pathsep.join(
                [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
            ),
            "PREFECT_HOME": str(self.root / ".prefect"),
            "PREFECT_API_URL": self.url,
            # Worker and flow need no aliases, and a cancelled flow would log a traceback about them.
            "PREFECT_PLUGINS_ENABLED": "false",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_WORKER_QUERY_SECONDS": "2",
            "PREFECT_RUNNER_POLL_FREQUENCY": "2",
            "DO_NOT_TRACK": "1",
            # Stages run side by side; where each has a thread a core they mostly wait for each other.
            "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
        }


def find_local_prefect(root: Path) -> LocalPrefect:
    """Read where a repository's Prefect is.

    Args:
        root: A folder with pyproject.toml and prefect.yaml.

    Raises:
        ConfigError: A file or the setting is missing, or the address is not of this machine.
    """
    if not (root / "prefect.yaml").is_file():
        raise ConfigError(
            f"{root}: has no prefect.yaml. Start this in the repository's top folder."
        )
    settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    try:
        url = str(settings["tool"]["prefect"]["api"]["url"])
    except KeyError as error:
        raise ConfigError(
            'pyproject.toml: [tool.prefect.api] has no url; write url = "http://127.0.0.1:4200/api".'
        ) from error
    if urlsplit(url).hostname not in {"127.0.0.1", "localhost"}:
        raise ConfigError(
            f"pyproject.toml: [tool.prefect.api] url is {url}, which is not this machine: nothing to start."
        )
    return LocalPrefect(root, url)


def start(local: LocalPrefect, console: Console) -> None:
    """Start server, pool, deployments and worker; what runs already stays as it is.

    Raises:
        HostError: The port is taken, or a part did not start; the message names its log.
    """
    local.state_folder.mkdir(parents=True, exist_ok=True)
    host, port = local.address
    if not _running(local, "server"):
        _require_free_port(host, port)
        console.print(f"starting the server on {host}:{port} …")
        _spawn(local, "server", "server", "start", "--host", host, "--port", str(port))
    _wait(local, "server", _is_healthy)
    console.print("registering the work pool and the deployments …")
    _prefect(local, "work-pool", "create", POOL, "--type", "process", "--overwrite")
    _prefect(local, "deploy", "--all")
    if not _running(local, "worker"):
        console.print("starting the worker …")
        _end_lost_runs(local)
        _spawn(local, "worker", "worker", "start", "--name", WORKER, "--pool", POOL)
    _wait(local, "worker", _has_worker)


def stop(local: LocalPrefect) -> list[str]:
    """Cancel the runs, end the worker, then the server: those that `start` started and no others.

    Returns:
        The names of what was running.
    """
    stopped: list[str] = []
    if _running(local, "worker"):
        _cancel_runs(local)
    for name in ("worker", "server"):
        process = _running(local, name)
        if process is not None:
            _end(process)
            stopped.append(name)
        _pid_file(local, name).unlink(missing_ok=True)
    return stopped


@app.command
def up() -> None:
    """Start everything and say what to type next; safe to repeat."""
    console = Console()
    local = find_local_prefect(Path.cwd())
    start(local, console)
    pages = local.url.removesuffix("/api")
    console.print(
        f"Prefect is up: {pages}  (logs: {local.state_folder.relative_to(local.root)}/)",
        soft_wrap=True,
    )
    console.print("run the pipeline:    prefect deployment run train-glamm", soft_wrap=True)
    console.print(
        "change and watch:    prefect deployment run train-glamm/default -p 'overrides=[\"train.max_steps=20\"]' --watch",
        soft_wrap=True,
        markup=False,
    )
    console.print("stop:                make down", soft_wrap=True)
    if "PREFECT_API_URL" in os.environ and os.environ["PREFECT_API_URL"] != local.url:
        console.print(
            f"note: PREFECT_API_URL of this shell is {os.environ['PREFECT_API_URL']} and wins: unset it."
        )


@app.command
def down() -> None:
    """Stop what `up` started."""
    stopped = stop(find_local_prefect(Path.cwd()))
    Console().print(f"stopped: {', '.join(stopped)}" if stopped else "nothing was running")


def _prefect(local: LocalPrefect, *words: str) -> None:
    command = [sys.executable, "-m", "prefect", "--no-prompt", *words]
    done = subprocess.run(
        command,
        cwd=local.root,
        env=local.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise HostError(f"prefect {' '.join(words)}: {done.stdout.strip()} {done.stderr.strip()}")


def _spawn(local: LocalPrefect, name: str, *words: str) -> None:
    with (local.state_folder / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "prefect", "--no-prompt", *words],
            cwd=local.root,
            env=local.environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    record = {"pid": process.pid, "created": psutil.Process(process.pid).create_time()}
    _pid_file(local, name).write_text(json.dumps(record), encoding="utf-8")


def _running(local: LocalPrefect, name: str) -> psutil.Process | None:
    """The process that `start` started under this name, if it still runs and its id was not given to another."""
    with contextlib.suppress(FileNotFoundError, psutil.NoSuchProcess):
        record = json.loads(_pid_file(local, name).read_text(encoding="utf-8"))
        process = psutil.Process(record["pid"])
        if process.create_time() == record["created"] and process.status() != psutil.STATUS_ZOMBIE:
            return process
    return None


def _pid_file(local: LocalPrefect, name: str) -> Path:
    return local.state_folder / f"{name}.pid"


def _wait(local: LocalPrefect, name: str, is_ready: Callable[[LocalPrefect], bool]) -> None:
    log = local.state_folder / f"{name}.log"
    deadline = time.monotonic() + START_S
    while not is_ready(local):
        if _running(local, name) is None:
            raise HostError(
                f"Prefect's {name} ended while starting; {log} ends with:\n{_tail(log)}"
            )
        if time.monotonic() > deadline:
            raise HostError(f"Prefect's {name} was not ready after {START_S:.0f} s; see {log}.")
        time.sleep(POLL_S)


def _is_healthy(local: LocalPrefect) -> bool:
    return _ask(local, "health") is True


def _has_worker(local: LocalPrefect) -> bool:
    """Whether the running worker has reported; one that was stopped a moment ago still counts as online there."""
    process = _running(local, "worker")
    workers = _ask(local, f"work_pools/{POOL}/workers/filter", body={})
    if process is None or workers is None:
        return False
    reports = [worker["last_heartbeat_time"] for worker in workers if worker["name"] == WORKER]
    return any(
        datetime.fromisoformat(report).timestamp() > process.create_time() for report in reports
    )


def _ask(local: LocalPrefect, path: str, *, body: Mapping[str, object] | None = None) -> Any:  # noqa: ANN401 - JSON
    """The API's answer, or None while there is none."""
    request = urllib.request.Request(  # noqa: S310 - an address of this machine, checked when it was read
        f"{local.url}/{path}",
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    with (
        contextlib.suppress(urllib.error.URLError, TimeoutError, ConnectionError),
        urllib.request.urlopen(request, timeout=5) as reply,  # noqa: S310
    ):
        return json.load(reply)
    return None


def _cancel_runs(local: LocalPrefect) -> None:
    """Ask for the end of what the worker runs, and wait: a worker alone would leave the stages running."""
    deadline = time.monotonic() + STOP_S
    while (runs := _active_runs(local)) and time.monotonic() < deadline:
        for run in runs:
            if run["state_type"] != "CANCELLING":
                _set_state(local, run, "CANCELLING", "Prefect was stopped")
        time.sleep(POLL_S)


def _end_lost_runs(local: LocalPrefect) -> None:
    """Close what a worker left that was killed: such runs would hold the deployment's only slot."""
    for run in _active_runs(local):
        _set_state(local, run, "CRASHED", "the worker of this run is gone")


def _active_runs(local: LocalPrefect) -> list[dict[str, Any]]:
    active = {"flow_runs": {"state": {"type": {"any_": ["RUNNING", "PENDING", "CANCELLING"]}}}}
    return _ask(local, "flow_runs/filter", body=active) or []


def _set_state(local: LocalPrefect, run: Mapping[str, Any], kind: str, message: str) -> None:
    body = {"state": {"type": kind, "message": message}, "force": kind == "CRASHED"}
    _ask(local, f"flow_runs/{run['id']}/set_state", body=body)


def _require_free_port(host: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise HostError(
                f"port {port} on {host} is taken by another program: stop that, or give this project another port "
                "in pyproject.toml, [tool.prefect.api] url."
            ) from error


def _end(process: psutil.Process) -> None:
    family = [process, *process.children(recursive=True)]
    process.send_signal(signal.SIGTERM)
    _, alive = psutil.wait_procs(family, timeout=STOP_S)
    for left in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            left.kill()


def _tail(path: Path, lines: int = 10) -> str:
    return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])


def main() -> None:
    """Run the command; an expected failure prints one line."""
    try:
        app()
    except GlammError as error:
        Console(stderr=True, soft_wrap=True, markup=False, highlight=False).print(f"error: {error}")
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
