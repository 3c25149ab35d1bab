"""A small repository with a quick pipeline in the layout of the real one."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from flows.workspace import stage_environment
from glamm.subprocesses import free_port

PROJECT = Path(__file__).parents[2]
TOY = Path(__file__).parent / "toy"
PYPROJECT = """
[tool.prefect.plugins]
enabled = true
[tool.prefect.api]
url = "http://127.0.0.1:{port}/api"
"""


def make_toy_repository(root: Path) -> Path:
    """A git and DVC repository with three stages, the flows of this project and one commit."""
    shutil.copytree(TOY, root)
    (root / "pipeline.yaml").rename(root / "dvc.yaml")  # DVC looks for that name in every folder
    shutil.copytree(PROJECT / "flows", root / "flows", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("prefect.yaml", ".dvcignore", ".gitignore"):
        shutil.copy(PROJECT / name, root / name)
    with (root / ".gitignore").open("a") as ignored:
        ignored.write("/data/\n")
    (root / "pyproject.toml").write_text(PYPROJECT.format(port=free_port()))
    for command in (
        ["git", "init", "--quiet"],
        [sys.executable, "-m", "dvc", "init", "--quiet"],
        [sys.executable, "-m", "dvc", "config", "core.analytics", "false"],
        ["git", "config", "user.name", "Toy"],
        ["git", "config", "user.email", "toy@example.invalid"],
        ["git", "add", "--all"],
        ["git", "commit", "--quiet", "--message", "A toy"],
    ):
        subprocess.run(command, cwd=root, check=True, capture_output=True)
    return root


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_toy_repository(tmp_path_factory.mktemp("template") / "toy")


@pytest.fixture
def repository(template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(template, tmp_path / "toy"))


@pytest.fixture(scope="session")
def finished_template(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = Path(shutil.copytree(template, tmp_path_factory.mktemp("finished") / "toy"))
    command = [sys.executable, "-m", "dvc", "repro", "--quiet"]
    subprocess.run(command, cwd=root, env=stage_environment(root), check=True)
    return root


@pytest.fixture
def finished_repository(finished_template: Path, tmp_path: Path) -> Path:
    """The repository with the results of every stage."""
    return Path(shutil.copytree(finished_template, tmp_path / "finished"))
