"""Prefect on this machine, for this repository only: `python -m flows.local up`, `... down`.

`up` starts a server at the address in pyproject.toml (`[tool.prefect.api] url`), creates the work pool `local`, registers
the deployments of prefect.yaml and starts a worker. Prefect's data are in `.prefect/`, process ids and logs in
`.runs/prefect/`.

The server is started here and not by `prefect server start --background` (seen with Prefect 3.8.8): that one writes no
log, ends with Ctrl-C in the same terminal, and `prefect server stop` trusts an old process id and does not wait.
"""

import contextlib
import json
import os
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil
from cyclopts import App
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.states import Cancelling, Crashed
from rich.console import Console

from glamm.errors import ConfigError, GlammError, HostError
from glamm.subprocesses import check_port, end_process_groups

POOL = "local"
WORKER = "glamm"
START_S = 180.0  # the first start creates the database: 16 s on two idle cores
STOP_S = 40.0  # a worker gives its flow runs 30 seconds
POLL_S = 0.25
LOG_LINES = 10  # of a log, in an error's message

app = App(
    name="flows.local", help="Prefect on this machine: server, work pool, deployments, worker."
)


@dataclass(frozen=True)
class LocalPrefect:
    """The Prefect of one repository.

    Args:
        root: The repository's top folder.
        url: The API's address, such as http://127.0.0.1:4200/api.
    """

    root: Path
    url: str

    @property
    def state_folder(self) -> Path:
        """The folder of process ids and logs."""
        return self.root / ".runs" / "prefect"

    @property
    def address(self) -> tuple[str, int]:
        """(host, port) of the server."""
        parts = urlsplit(self.url)
        return parts.hostname or "127.0.0.1", parts.port or 4200

    def environment(self) -> dict[str, str]:
        """Environment of the server, the worker and the flow runs; they send nothing to other machines."""
        return {
            **os.environ,
            "PATH": os.pathsep.join(
                [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
            ),
            "PREFECT_HOME": str(self.root / ".prefect"),
            "PREFECT_API_URL": self.url,
            # Worker and flow runs need no aliases, and a canceled flow would log a traceback about them.
            "PREFECT_PLUGINS_ENABLED": "false",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_WORKER_QUERY_SECONDS": "2",
            "PREFECT_RUNNER_POLL_FREQUENCY": "2",
            "DO_NOT_TRACK": "1",
            # Stages run at the same time; with one thread per core each, they slow each other down.
            "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
        }


def find_local_prefect(root: Path) -> LocalPrefect:
    """Read the address of a repository's Prefect.

    Args:
        root: A folder with pyproject.toml and prefect.yaml.

    Raises:
        ConfigError: A file or the setting is missing, or the address is not one of this machine.
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
    """Start server, work pool, deployments and worker; those that are already running stay as they are.

    Raises:
        HostError: The port is taken, or server or worker did not start; the message names the log.
    """
    local.state_folder.mkdir(parents=True, exist_ok=True)
    host, port = local.address
    with SyncPrefectClient(local.url) as client:
        if not _running(local, "server"):
            check_port(
                host,
                port,
                remedy="stop the program that uses it, or change [tool.prefect.api] url in pyproject.toml",
            )
            console.print(f"starting the server on {host}:{port} …")
            _spawn(local, "server", "server", "start", "--host", host, "--port", str(port))
        _wait(local, "server", lambda: client.api_healthcheck() is None)
        console.print("registering the work pool and the deployments …")
        _prefect(local, "work-pool", "create", POOL, "--type", "process", "--overwrite")
        _prefect(local, "deploy", "--all")
        if not _running(local, "worker"):
            console.print("starting the worker …")
            _end_lost_runs(client)
            _spawn(local, "worker", "worker", "start", "--name", WORKER, "--pool", POOL)
        _wait(local, "worker", lambda: _has_worker(local, client))


def stop(local: LocalPrefect) -> list[str]:
    """Cancel the flow runs, end the worker, then the server: only those that `start` started.

    Returns:
        The names of what was running.
    """
    stopped: list[str] = []
    if _running(local, "worker"):
        with SyncPrefectClient(local.url) as client, contextlib.suppress(httpx.TransportError):
            _cancel_runs(client)
    for name in ("worker", "server"):
        process = _running(local, name)
        if process is not None:
            end_process_groups([process.pid], grace_s=STOP_S)
            stopped.append(name)
        _pid_file(local, name).unlink(missing_ok=True)
    return stopped


@app.command
def up() -> None:
    """Start everything that is not running, and print the next commands."""
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
            f"note: PREFECT_API_URL of this shell is {os.environ['PREFECT_API_URL']} and overrides this address: unset it."
        )


@app.command
def down() -> None:
    """Stop what `up` started."""
    stopped = stop(find_local_prefect(Path.cwd()))
    Console().print(f"stopped: {', '.join(stopped)}" if stopped else "nothing was running")


def _prefect(local: LocalPrefect, *arguments: str) -> None:
    command = [sys.executable, "-m", "prefect", "--no-prompt", *arguments]
    done = subprocess.run(
        command,
        cwd=local.root,
        env=local.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise HostError(
            f"prefect {' '.join(arguments)}: {done.stdout.strip()} {done.stderr.strip()}"
        )


def _spawn(local: LocalPrefect, name: str, *arguments: str) -> None:
    """Start a process that outlives this one, as the leader of its own group."""
    with (local.state_folder / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "prefect", "--no-prompt", *arguments],
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
    """The process that `start` started under this name, if it still runs and its id is not that of a newer process."""
    with contextlib.suppress(FileNotFoundError, psutil.NoSuchProcess):
        record = json.loads(_pid_file(local, name).read_text(encoding="utf-8"))
        process = psutil.Process(record["pid"])
        if process.create_time() == record["created"] and process.status() != psutil.STATUS_ZOMBIE:
            return process
    return None


def _pid_file(local: LocalPrefect, name: str) -> Path:
    return local.state_folder / f"{name}.pid"


def _wait(local: LocalPrefect, name: str, is_ready: Callable[[], bool]) -> None:
    log = local.state_folder / f"{name}.log"
    deadline = time.monotonic() + START_S
    while not is_ready():
        if _running(local, name) is None:
            raise HostError(
                f"Prefect's {name} ended while starting; the end of {log} is:\n{_tail(log)}"
            )
        if time.monotonic() > deadline:
            raise HostError(f"Prefect's {name} was not ready after {START_S:.0f} s; see {log}.")
        time.sleep(POLL_S)


def _has_worker(local: LocalPrefect, client: SyncPrefectClient) -> bool:
    """Whether the running worker has sent a heartbeat; one that was stopped a moment ago still counts as online."""
    process = _running(local, "worker")
    return process is not None and any(
        worker.name == WORKER
        and worker.last_heartbeat_time is not None
        and worker.last_heartbeat_time.timestamp() > process.create_time()
        for worker in client.read_workers_for_work_pool(POOL)
    )


def _cancel_runs(client: SyncPrefectClient) -> None:
    """Cancel all flow runs and wait for their end: a worker that ends alone would leave the stages running."""
    deadline = time.monotonic() + STOP_S
    while (runs := _active_runs(client)) and time.monotonic() < deadline:
        for run in runs:
            if run.state_type is not StateType.CANCELLING:
                client.set_flow_run_state(run.id, Cancelling(message="Prefect was stopped"))
        time.sleep(POLL_S)


def _end_lost_runs(client: SyncPrefectClient) -> None:
    """Mark the runs of a killed worker as crashed: they would occupy the deployment's only slot."""
    for run in _active_runs(client):
        client.set_flow_run_state(
            run.id, Crashed(message="the worker of this run is gone"), force=True
        )


def _active_runs(client: SyncPrefectClient) -> list[FlowRun]:
    active = FlowRunFilterStateType(
        any_=[StateType.RUNNING, StateType.PENDING, StateType.CANCELLING]
    )
    return client.read_flow_runs(
        flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=active))
    )


def _tail(path: Path) -> str:
    return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:])


def main() -> None:
    """Run the command; an expected failure prints one line."""
    try:
        app()
    except GlammError as error:
        Console(stderr=True, soft_wrap=True, markup=False, highlight=False).print(f"error: {error}")
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
