"""A working tree for each run, so that runs affect neither each other nor the checkout.

A workspace is a git worktree of the checkout's HEAD with the checkout's uncommitted changes. It shares the checkout's
DVC cache and scratch folder. A run's results are saved as a DVC experiment with the run's name.
"""

import contextlib
import fcntl
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from dvc.exceptions import DvcException  # pyright: ignore[reportMissingTypeStubs]
from dvc.repo import Repo  # pyright: ignore[reportMissingTypeStubs]
from dvc.utils.hydra import apply_overrides  # pyright: ignore[reportMissingTypeStubs]

from flows.graph import reason, small_results
from glamm.config.params import load_params
from glamm.errors import ConfigError, HostError
from glamm.subprocesses import run_supervised

SCRATCH = Path(".runs")
WORKTREES = SCRATCH / "worktrees"
LOCK_FILE = "dvc.lock"
PARAMS_FILE = "params.yaml"


@dataclass(frozen=True)
class Workspace:
    """The working tree of one run.

    Args:
        checkout: The repository from which the run was started.
        root: The run's own working tree.
        name: The run's name, also that of its DVC experiment.
        lock_at_start: The checkout's dvc.lock when the run began; empty where there was none.
    """

    checkout: Path
    root: Path
    name: str
    lock_at_start: bytes


def open_workspace(checkout: Path, *, name: str) -> Workspace:
    """Create a working tree with the checkout's code, parameters and results.

    Files that git neither tracks nor ignores are copied too: new code is often not added yet.

    Args:
        checkout: The top folder of a repository with at least one commit.
        name: The run's name; characters that git does not accept become dashes.

    Raises:
        ConfigError: The folder has no dvc.yaml, or is no git repository with a commit.
        HostError: git or DVC failed; the message contains its error.
    """
    if not (checkout / "dvc.yaml").is_file():
        raise ConfigError(
            f"{checkout}: has no dvc.yaml. Deploy the flow from the repository's top folder."
        )
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-") or "run"
    root = checkout / WORKTREES / name
    with _lock(checkout):
        _remove_worktree(checkout, root)
        try:
            git(checkout, "worktree", "add", "--quiet", "--detach", str(root), "HEAD")
        except HostError as error:
            raise ConfigError(
                f"{error} The run works on a copy of the last commit: commit something first."
            ) from error
        _copy_uncommitted(checkout, root)
    (root / SCRATCH).symlink_to(checkout / SCRATCH, target_is_directory=True)
    _link_results(checkout, root)
    for path in small_results(checkout):
        _copy(path, checkout, root)
    lock = checkout / LOCK_FILE
    return Workspace(checkout, root, name, lock.read_bytes() if lock.exists() else b"")


def override(workspace: Workspace, overrides: list[str]) -> None:
    """Write overrides into the workspace's params.yaml and check the result.

    Args:
        workspace: The working tree whose params.yaml changes.
        overrides: `section.key=value`, as for `dvc exp run -S`.

    Raises:
        ConfigError: One is no override, names an unknown key, or has a value that the key does not accept.
    """
    params = workspace.root / PARAMS_FILE
    if overrides:
        try:
            apply_overrides(params, overrides)
        except (DvcException, ValueError) as error:
            raise ConfigError(f"overrides {overrides}: {reason(error)}") from error
    load_params(params)


def save_experiment(workspace: Workspace, stages: Iterable[str] = ()) -> None:
    """Save the run's results as the DVC experiment `workspace.name`.

    Args:
        workspace: The working tree in which the stages ran.
        stages: Names of the stages that completed, if not all did: DVC requires the results of every stage it saves.

    Raises:
        HostError: DVC could not save it.
    """
    results = [str(path) for path in small_results(workspace.root)]
    untracked = [argument for path in results for argument in ("--include-untracked", path)]
    with _lock(workspace.checkout):
        dvc(workspace.root, "exp", "save", "--force", "--name", workspace.name, *untracked, *stages)


def publish(workspace: Workspace) -> None:
    """Copy the run's results to the checkout, so that `dvc repro` finds everything up to date there.

    Raises:
        HostError: The checkout has changed results since then, or results that DVC has not saved. They stay.
    """
    lock = workspace.checkout / LOCK_FILE
    new_lock = workspace.root / LOCK_FILE
    with _lock(workspace.checkout):
        if (lock.read_bytes() if lock.exists() else b"") != workspace.lock_at_start:
            raise HostError(
                f"{LOCK_FILE} of the checkout changed during the run, so its results are kept."
            )
        if not new_lock.exists():
            return
        shutil.copyfile(new_lock, lock)
        try:
            dvc(workspace.checkout, "checkout", "--quiet", "--allow-missing")
        except HostError:
            lock.write_bytes(workspace.lock_at_start)
            raise
        for path in small_results(workspace.root):
            _copy(path, workspace.root, workspace.checkout)


def close_workspace(workspace: Workspace) -> None:
    """Remove the working tree; the experiment, the cache and the scratch folder stay."""
    with _lock(workspace.checkout):
        _remove_worktree(workspace.checkout, workspace.root)


def stage_environment(root: Path) -> dict[str, str]:
    """The environment of a command that runs in `root`: its code and this Python's commands take precedence."""
    paths = {
        "PATH": str(Path(sys.executable).parent),
        "PYTHONPATH": str(root),
    }
    joined = {
        key: os.pathsep.join([first, *filter(None, [os.environ.get(key)])])
        for key, first in paths.items()
    }
    return {**os.environ, **joined, "PYTHONUNBUFFERED": "1", "DVC_NO_ANALYTICS": "1"}


def dvc_command(*arguments: str) -> list[str]:
    """The command line of this Python's `dvc`."""
    return [sys.executable, "-m", "dvc", *arguments]


def dvc(root: Path, *arguments: str) -> str:
    """Run `dvc` in a repository and return its output.

    Raises:
        HostError: It failed; the message contains its error.
    """
    done = run_supervised(
        dvc_command(*arguments),
        cwd=root,
        env=stage_environment(root),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    return _output(done, name=f"dvc {' '.join(arguments)}", root=root)


def git(root: Path, *arguments: str, stdin: bytes | None = None) -> str:
    """Run `git` in a repository and return its output.

    Raises:
        HostError: It is missing or failed; the message contains its error.
    """
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=root,
            env=stage_environment(root),
            input=stdin,
            capture_output=True,
            check=False,
        )
    except FileNotFoundError as error:
        raise HostError("git is not installed; the run needs it.") from error
    return _output(done, name=f"git {' '.join(arguments)}", root=root)


def _output(done: subprocess.CompletedProcess[bytes], *, name: str, root: Path) -> str:
    if done.returncode:
        reason = " ".join(done.stderr.decode(errors="replace").split())
        raise HostError(f"{name} (in {root}): {reason}")
    return done.stdout.decode(errors="surrogateescape")


def _copy_uncommitted(checkout: Path, root: Path) -> None:
    changes = subprocess.run(
        ["git", "diff", "--binary", "HEAD"], cwd=checkout, capture_output=True, check=True
    ).stdout
    if changes:
        git(root, "apply", "--index", "--whitespace=nowarn", "-", stdin=changes)
    for name in filter(
        None, git(checkout, "ls-files", "--others", "--exclude-standard", "-z").split("\0")
    ):
        _copy(Path(name), checkout, root)


def _copy(path: Path, source: Path, target: Path) -> None:
    (target / path).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source / path, target / path, follow_symlinks=False)


def _link_results(checkout: Path, root: Path) -> None:
    """Link the results of the checkout's stages into the new tree; all trees share one cache."""
    private = checkout / ".dvc" / "config.local"
    if private.exists():
        shutil.copy2(private, root / ".dvc" / "config.local")
    try:
        with Repo(str(checkout)) as repo:
            cache = cast("Any", repo).cache.local_cache_dir
        with Repo(str(root)) as repo, cast("Any", repo).config.edit("local") as settings:
            settings["cache"]["dir"] = cache
        with Repo(str(root)) as repo:
            cast("Any", repo).checkout(allow_missing=True)
    except DvcException as error:
        raise HostError(f"DVC cannot link the results into {root}: {reason(error)}") from error


def _remove_worktree(checkout: Path, root: Path) -> None:
    if root.exists():
        git(checkout, "worktree", "remove", "--force", "--force", str(root))
    git(checkout, "worktree", "prune")


@contextlib.contextmanager
def _lock(checkout: Path) -> Generator[None]:
    """Lock what runs share: git's list of worktrees, DVC's experiments, the checkout's results."""
    folder = checkout / WORKTREES
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
