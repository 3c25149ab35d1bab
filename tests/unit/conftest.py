"""Processes that tests start."""

import subprocess
import sys

import pytest


@pytest.fixture
def start_parent():
    """Start Python code in a process of its own, which is killed at the latest when the test ends."""
    parents = []

    def start(*arguments):
        parent = subprocess.Popen([sys.executable, *map(str, arguments)])
        parents.append(parent)
        return parent

    yield start
    for parent in parents:
        parent.kill()
        parent.wait()
