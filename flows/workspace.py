"""A run's own working tree, so that runs disturb neither each other nor the person at the keyboard.

A workspace is a git worktree of the checkout's HEAD with the checkout's uncommitted changes on top, sharing the
checkout's DVC cache and its scratch folder. What a run made is kept as a DVC experiment named after it.
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

SCRATCH = Path(".runs")
WORKTREES = SCRATCH / "worktrees"
LOCK_FILE = "dvc.lock"
PARAMS_FILE = "params.yaml"


@dataclass(frozen=True)
class Workspace:
    """Where one run works.

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
    """Make a working tree with the checkout's code, parameters and results.

    Files that git neither tracks nor ignores come along too: new code is often not added yet.

    Args:
        checkout: The top folder of a repository with at least one commit.
        name: What to call the run; characters that git does not take in a name become dashes.

    Raises:
        ConfigError: The folder has no dvc.yaml, or is no git repository with a commit.
        HostError: git or DVC failed; the message says how.
    """
    if not (checkout / "dvc.yaml").is_file():
        raise ConfigError(
            f"{checkout}: has no dvc.yaml. Deploy the flow from the repository's top folder."
        )
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-") or "run"
    root = checkout / WORKTREES / name
    with _one_at_a_time(checkout):
        _drop_worktree(checkout, root)
        try:
            git(checkout, "worktree", "add", "--quiet", "--detach", str(root), "HEAD")
        except HostError as error:
            raise ConfigError(
                f"{error} The run works on a copy of the last commit: commit something first."
            ) from error
        _bring_uncommitted(checkout, root)
    (root / SCRATCH).symlink_to(checkout / SCRATCH, target_is_directory=True)
    _bring_results(checkout, root)
    for path in small_results(checkout):
        _copy(path, checkout, root)
    lock = checkout / LOCK_FILE
    return Workspace(checkout, root, name, lock.read_bytes() if lock.exists() else b"")


def override(workspace: Workspace, overrides: list[str]) -> None:
    """Write overrides into the workspace's params.yaml and check the result.

    Args:
        workspace: Whose parameters change.
        overrides: `section.key=value` texts, as `dvc exp run -S` takes them.

    Raises:
        ConfigError: A text is no override, names an unknown key, or gives a value that its key does not take.
    """
    params = workspace.root / PARAMS_FILE
    if overrides:
        try:
            apply_overrides(params, overrides)
        except (DvcException, ValueError) as error:
            raise ConfigError(f"overrides {overrides}: {reason(error)}") from error
    load_params(params)


def save_experiment(workspace: Workspace, stages: Iterable[str] = ()) -> None:
    """Keep what the run made as the DVC experiment `workspace.name`.

    Args:
        workspace: Where the stages ran.
        stages: Names of those that have ended well, where not all have: DVC asks for the results of every one.

    Raises:
        HostError: DVC could not save it.
    """
    results = [str(path) for path in small_results(workspace.root)]
    untracked = [word for path in results for word in ("--include-untracked", path)]
    with _one_at_a_time(workspace.checkout):
        dvc(workspace.root, "exp", "save", "--force", "--name", workspace.name, *untracked, *stages)


def publish(workspace: Workspace) -> None:
    """Bring the run's results into the checkout, so that `dvc repro` there finds everything up to date.

    Raises:
        HostError: The checkout has other results by now, or ones that DVC has not saved; they stay.
    """
    lock = workspace.checkout / LOCK_FILE
    made = workspace.root / LOCK_FILE
    with _one_at_a_time(workspace.checkout):
        if (lock.read_bytes() if lock.exists() else b"") != workspace.lock_at_start:
            raise HostError(
                f"{LOCK_FILE} of the checkout changed during the run, so its results stay there."
            )
        if not made.exists():
            return
        shutil.copyfile(made, lock)
        try:
            dvc(workspace.checkout, "checkout", "--quiet", "--allow-missing")
        except HostError:
            lock.write_bytes(workspace.lock_at_start)
            raise
        for path in small_results(workspace.root):
            _copy(path, workspace.root, workspace.checkout)


def close_workspace(workspace: Workspace) -> None:
    """Remove the working tree; the experiment, the cache and the scratch folder stay."""
    with _one_at_a_time(workspace.checkout):
        _drop_worktree(workspace.checkout, workspace.root)


def stage_environment(root: Path) -> dict[str, str]:
    """The environment of a command that works in `root`: its code and this Python's commands come first."""
    paths = {
        "PATH": str(Path(sys.executable).parent),
        "PYTHONPATH": str(root),
    }
    joined = {
        key: os.pathsep.join([first, *filter(None, [os.environ.get(key)])])
        for key, first in paths.items()
    }
    return {**os.environ, **joined, "PYTHONUNBUFFERED": "1", "DVC_NO_ANALYTICS": "1"}


def dvc_command(*words: str) -> list[str]:
    """A `dvc` command line of this Python."""
    return [sys.executable, "-m", "dvc", *words]


def dvc(root: Path, *words: str) -> str:
    """Run `dvc` in a repository and return what it wrote.

    Raises:
        HostError: It failed; the message carries what it said.
    """
    return _run(dvc_command(*words), cwd=root, shown=f"dvc {' '.join(words)}")


def git(root: Path, *words: str, stdin: bytes | None = None) -> str:
    """Run `git` in a repository and return what it wrote.

    Raises:
        HostError: It failed; the message carries what it said.
    """
    return _run(["git", *words], cwd=root, shown=f"git {' '.join(words)}", stdin=stdin)


def _run(command: list[str], *, cwd: Path, shown: str, stdin: bytes | None = None) -> str:
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            env=stage_environment(cwd),
            input=stdin,
            capture_output=True,
            check=False,
        )
    except FileNotFoundError as error:
        raise HostError(f"{command[0]} is not installed; the run needs it.") from error
    if done.returncode:
        said = " ".join(done.stderr.decode(errors="replace").split())
        raise HostError(f"{shown} (in {cwd}): {said}")
    return done.stdout.decode(errors="surrogateescape")


def _bring_uncommitted(checkout: Path, root: Path) -> None:
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


def _bring_results(checkout: Path, root: Path) -> None:
    """Link what the checkout's stages made into the new tree; the cache is one for all trees."""
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
        raise HostError(f"DVC cannot bring the results into {root}: {reason(error)}") from error


def _drop_worktree(checkout: Path, root: Path) -> None:
    if root.exists():
        git(checkout, "worktree", "remove", "--force", "--force", str(root))
    git(checkout, "worktree", "prune")


@contextlib.contextmanager
def _one_at_a_time(checkout: Path) -> Generator[None]:
    """Hold what runs share: git's list of worktrees, DVC's experiments, the checkout's results."""
    folder = checkout / WORKTREES
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
