"""`make up` and `make down` without a running server: addresses, and errors in one line."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from flows.local import find_local_prefect
from glamm.errors import ConfigError


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "prefect.yaml").write_text("deployments: []\n")
    (tmp_path / "pyproject.toml").write_text(
        '[tool.prefect.api]\nurl = "http://127.0.0.1:4200/api"\n'
    )
    return tmp_path


def test_address_is_that_of_pyproject(project: Path):
    local = find_local_prefect(project)

    assert local.address == ("127.0.0.1", 4200)
    assert local.environment()["PREFECT_API_URL"] == "http://127.0.0.1:4200/api"
    assert local.environment()["PREFECT_HOME"] == str(project / ".prefect")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no url"),
        ('[tool.prefect.api]\nurl = "https://prefect.example.org/api"\n', "not this machine"),
    ],
    ids=["no-url", "elsewhere"],
)
def test_address_must_be_one_of_this_machine(project: Path, text: str, message: str):
    (project / "pyproject.toml").write_text(text)

    with pytest.raises(ConfigError, match=message):
        find_local_prefect(project)


def test_other_folders_are_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"has no prefect\.yaml"):
        find_local_prefect(tmp_path)


@pytest.mark.e2e
def test_taken_port_is_one_clear_line(project: Path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        (project / "pyproject.toml").write_text(
            f'[tool.prefect.api]\nurl = "http://127.0.0.1:{port}/api"\n'
        )

        done = subprocess.run(
            [sys.executable, "-m", "flows.local", "up"],
            cwd=project,
            capture_output=True,
            text=True,
            check=False,
        )

    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert f"127.0.0.1:{port} cannot be listened on" in done.stderr
    assert "[tool.prefect.api] url" in done.stderr


@pytest.mark.e2e
def test_down_reports_that_nothing_was_running(project: Path):
    command = [sys.executable, "-m", "flows.local", "down"]

    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=True)

    assert done.stdout == "nothing was running\n"
