"""Memory that tensors free stays with the process; what is new comes in large pieces."""

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys, torch
from glamm.allocator import tune_allocator
if sys.argv[1] == "tuned":
    tune_allocator()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(50):
    torch.ones(16 << 20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(word: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, word], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's allocator is meant")
def test_large_buffers_are_not_fetched_again_and_again() -> None:
    assert faults("tuned") < faults("as it is") / 10
