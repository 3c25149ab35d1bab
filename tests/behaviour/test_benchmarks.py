"""What `make bench` measures on made-up data still fits what reads it."""

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
RESUME = """
import sys
from pathlib import Path
from data import resume_seconds
resume_seconds(Path(sys.argv[1]), num_samples=10_000)
"""


@pytest.mark.e2e
@pytest.mark.slow
def test_made_up_index_can_be_resumed_in(tmp_path):
    """The index came to hold the length of each sample, and the benchmark went on writing one without."""
    done = subprocess.run(
        [sys.executable, "-c", RESUME, tmp_path / "many"],
        cwd=BENCHMARKS,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
