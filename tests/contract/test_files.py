"""Promises about the files of the repository."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAX_LINES = 400


def tracked(*patterns: str) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--", *patterns],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    return [ROOT / name for name in listed.split("\0") if name]


def test_source_files_are_short():
    long = {
        str(path.relative_to(ROOT)): count
        for path in tracked("glamm/*.py", "flows/*.py", "tests/*.py", "benchmarks/*.py")
        if path.exists() and (count := len(path.read_text().splitlines())) > MAX_LINES
    }

    assert not long


def test_constraints_are_exact_versions_without_addresses():
    lines = (ROOT / "constraints.txt").read_text().splitlines()

    wrong = [
        line
        for line in lines
        if not re.fullmatch(r"[A-Za-z0-9._-]+(\[[a-z,]+\])?==[A-Za-z0-9.+!-]+", line)
    ]

    assert lines
    assert not wrong


def test_every_direct_dependency_is_pinned():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + [
        name for extra in project["optional-dependencies"].values() for name in extra
    ]
    pinned = {
        re.split(r"[=\[]", line)[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
    }

    missing = [
        name
        for name in wanted
        if re.split(r"[<>=\[;]", name)[0].lower().replace("_", "-") not in pinned
    ]

    assert not missing


@pytest.mark.parametrize(
    "name", ["glamm/data/__init__.py", "data/README.md"], ids=["library", "folder"]
)
def test_data_folders_are_not_ignored_by_git(name):
    """A bare `data/` in .gitignore also hides the library's data package: code was lost that way."""
    ignored = subprocess.run(["git", "check-ignore", "-q", name], cwd=ROOT, check=False)

    assert ignored.returncode == 1


def test_import_of_glamm_alone_loads_no_torch():
    program = "import sys, glamm; sys.exit('torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
