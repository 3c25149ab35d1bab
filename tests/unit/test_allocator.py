"""The process keeps the memory of freed tensors, and requests new memory in large pages."""

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


def num_page_faults(setting: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, setting], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
@pytest.mark.slow
def test_large_buffers_are_reused() -> None:
    assert num_page_faults("tuned") < num_page_faults("default") / 10
