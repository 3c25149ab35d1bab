"""What `make bench` measures on made-up data still fits what reads it."""

import json
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


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.timeout(240)
def test_full_size_steps_run_on_a_shrunken_release(tmp_path):
    done = subprocess.run(
        [sys.executable, BENCHMARKS / "full_size.py", tmp_path, "--shrink"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    steps = [json.loads(line) for line in done.stdout.splitlines()]
    assert [step["step"] for step in steps] == ["convert", "verify", "ground", "export", "compare"]
    assert all(step["outcome"] == "ok" for step in steps[:-1])
    assert all(step["peak_gb"] > 0.1 for step in steps[:-1])
    assert steps[-1]["equal"] == steps[-1]["tensors"]
    assert steps[-1]["differing"] == []
