"""`glamm synth` as a person runs it: options, faults in one line, and a run that is killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
SMALL = ["--set", "synth.image_size=64", "--set", "synth.num_val=2", "--set", "synth.num_test=2"]


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-c", "from glamm.cli.main import main; main()", "synth", *arguments]


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), cwd=cwd, capture_output=True, text=True, check=False)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_killed_and_started_again_gives_the_same_files(tmp_path: Path) -> None:
    options = [
        *SMALL,
        "--set",
        "synth.num_grand=300",
        "--set",
        "synth.num_train=100",
        "--workers",
        "1",
    ]
    assert run("whole", *options, cwd=tmp_path).returncode == 0
    process = subprocess.Popen(command("cut", *options), cwd=tmp_path, stderr=subprocess.DEVNULL)
    annotations = tmp_path / "cut/GranD/annotations"
    while not annotations.exists() or len(list(annotations.iterdir())) < 40:
        assert process.poll() is None
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "cut/GranDf/annotations/train/GranDf_HA_GCG_train.json").exists()
    assert run("cut", *options, cwd=tmp_path).returncode == 0
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


def test_ctrl_c_ends_with_one_line(tmp_path: Path) -> None:
    options = [*SMALL, "--set", "synth.num_grand=5000", "--workers", "2"]
    process = subprocess.Popen(
        command("out", *options),
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while not list((tmp_path / "out").rglob("sa_*.json")):
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    _, output = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in output
    assert "interrupted" in output


def test_faults_are_one_line_and_an_exit_code(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/letter.txt").write_text("mine")
    for arguments, code, message in (
        (["full"], 1, "letter.txt: is not part of the data set"),
        (["out", "--set", "synth.image_sise=64"], 2, "image_sise"),
        (["out", "--workers", "0"], 2, "workers"),
        (["out", "--cutouts", "nowhere"], 2, "cutouts is set without backgrounds"),
        (["out", "--cutouts", "nowhere", "--backgrounds", "nowhere"], 1, "nowhere: is no folder"),
    ):
        result = run(*arguments, cwd=tmp_path)
        assert result.returncode == code, result.stderr
        assert message in result.stderr.replace("\n", " ")
        assert "Traceback" not in result.stderr
    assert (tmp_path / "full/letter.txt").read_text() == "mine"


def test_parameters_come_from_the_params_file(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        "synth: {image_size: 64, num_grand: 1, num_train: 2, num_val: 1, num_test: 1}\n"
    )
    assert run("out", "--params", "mine.yaml", "--workers", "1", cwd=tmp_path).returncode == 0
    assert len(list((tmp_path / "out").rglob("*.jpg"))) == 6  # the one of val is in two layouts
