"""The separate working tree of a run."""

import subprocess
import sys
from pathlib import Path

import pytest

from flows.workspace import (
    close_workspace,
    open_workspace,
    override,
    publish,
    save_experiment,
    stage_environment,
)
from glamm.errors import ConfigError, HostError

pytestmark = [
    pytest.mark.slow,
    pytest.mark.e2e,
    # DVC's own use of pygtrie
    pytest.mark.filterwarnings("ignore:_NoneStep:DeprecationWarning"),
]


def repro(root: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "dvc", *(arguments or ("repro",))]
    done = subprocess.run(
        command, cwd=root, env=stage_environment(root), capture_output=True, text=True, check=True
    )
    return done.stdout


def test_workspace_has_uncommitted_and_new_files_and_the_shared_scratch(repository: Path):
    (repository / "params.yaml").write_text("synth: {seed: 7, image_size: 128}\n")
    (repository / "new.py").write_text("")
    (repository / ".env").write_text("")
    (repository / ".gitignore").write_text((repository / ".gitignore").read_text() + ".env\n")

    workspace = open_workspace(repository, name="quick fox")

    assert workspace.root == repository / ".runs/worktrees/quick-fox"
    assert "seed: 7" in (workspace.root / "params.yaml").read_text()
    assert (workspace.root / "new.py").exists()
    assert not (workspace.root / ".env").exists()
    assert (workspace.root / ".runs").resolve() == (repository / ".runs").resolve()
    close_workspace(workspace)
    assert not workspace.root.exists()


def test_workspace_does_not_repeat_completed_stages_of_the_checkout(finished_repository: Path):
    workspace = open_workspace(finished_repository, name="fox")

    assert "Running stage" not in repro(workspace.root)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["synth.sead=3"], "sead"),
        (["synth.seed=three"], "synth.seed"),
        (["synth.seed"], "synth.seed"),
        (["synth.seed=-1"], "greater than or equal to 0"),
    ],
    ids=["unknown-key", "wrong-type", "no-value", "out-of-range"],
)
def test_override_is_refused_with_the_name_of_its_key(
    repository: Path, overrides: list[str], message: str
):
    workspace = open_workspace(repository, name="fox")

    with pytest.raises(ConfigError, match=message):
        override(workspace, overrides)


def test_published_results_are_up_to_date_in_the_checkout(repository: Path):
    workspace = open_workspace(repository, name="fox")
    repro(workspace.root)
    save_experiment(workspace)

    publish(workspace)

    assert "Running stage" not in repro(repository)
    assert (repository / "data/model.txt").read_text() == "train 1\n"
    assert "miou" in (repository / "data/reports/val/report.json").read_text()


def test_publish_keeps_newer_results_of_the_checkout(repository: Path):
    workspace = open_workspace(repository, name="fox")
    repro(workspace.root)
    (repository / "params.yaml").write_text("synth: {seed: 2, image_size: 128}\n")
    repro(repository)

    with pytest.raises(HostError, match=r"dvc\.lock"):
        publish(workspace)

    assert (repository / "data/model.txt").read_text() == "train 2\n"


def test_saved_experiment_is_up_to_date_once_applied(finished_repository: Path):
    repository = finished_repository
    workspace = open_workspace(repository, name="fox")
    override(workspace, ["synth.seed=5"])
    repro(workspace.root)
    save_experiment(workspace)
    close_workspace(workspace)

    repro(repository, "exp", "apply", "fox")

    assert "Running stage" not in repro(repository)
    assert (repository / "data/model.txt").read_text() == "train 5\n"


def test_experiment_of_the_first_stages_alone_is_saved(repository: Path):
    workspace = open_workspace(repository, name="fox")
    repro(workspace.root, "repro", "synth")

    save_experiment(workspace, ["synth"])

    assert "fox" in repro(repository, "exp", "list", "--name-only")


def test_workspace_needs_a_first_commit(tmp_path: Path):
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)

    with pytest.raises(ConfigError, match="commit something first"):
        open_workspace(tmp_path, name="fox")
