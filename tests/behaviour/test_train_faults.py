"""`glamm train` when something else fails: a full disk, a tracker without a server, the same run twice."""

import os
import subprocess
import time

import pytest

from glamm.checkpoints.store import load_model
from tests.builders.training import GLAMM
from tests.builders.wandb_record import read_run

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(600)]

CHECKPOINTS = ".runs/train/*/step=*.ckpt"


@pytest.fixture
def small_disk(tmp_path):
    """Mount a disk of a given size in KiB."""
    if os.geteuid() != 0:
        pytest.skip("a small disk to fill can only be mounted by root")
    mounted = []

    def mount(kibibytes):
        folder = tmp_path / "disk"
        folder.mkdir()
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={kibibytes}k", "tmpfs", folder],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            pytest.skip(f"a small disk cannot be mounted: {done.stderr.strip()}")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "--lazy", folder], check=True)


def grow(disk):
    subprocess.run(["mount", "-o", "remount,size=100m", disk], check=True)


def test_full_disk_at_a_checkpoint_keeps_the_checkpoint_before(start_train, small_disk):
    disk = small_disk(5000)  # one checkpoint of 2.9 MB and half of the next

    code, output = start_train(cwd=disk, max_steps=12).finish()

    assert code == 1
    memory, ending = output.splitlines()
    assert "memory of each process" in memory
    assert ending.startswith("error: .runs/train/out-joint-")
    assert "/.step=00000010.ckpt.part: cannot be written (No space left on device)" in ending
    assert [path.name for path in disk.glob(CHECKPOINTS)] == ["step=00000005.ckpt"]
    assert not list(disk.glob(".runs/train/*/.step*"))

    grow(disk)
    code, output = start_train(cwd=disk, max_steps=12).finish()

    assert (code, "resuming from" in output, "step=00000005.ckpt" in output) == (0, True, True), (
        output
    )
    load_model(disk / "out")


def test_full_disk_at_the_end_keeps_the_checkpoint_and_the_former_model(
    start_train, small_disk, tmp_path
):
    disk = small_disk(3700)  # one checkpoint of 2.9 MB and most of a model of 1 MB

    code, output = start_train(str(disk / "out"), max_steps=6, checkpoint_steps=5).finish()
    assert code == 0, output
    former = (disk / "out/model.safetensors").read_bytes()
    (disk / "filler").write_bytes(bytes(2_000_000))
    code, output = start_train(str(disk / "out"), max_steps=7, checkpoint_steps=5).finish()

    assert code == 1
    (ending,) = [line for line in output.splitlines() if line.startswith("error: ")]
    assert str(disk / "out") in ending
    assert "cannot be written" in ending
    assert "Traceback" not in output
    assert (disk / "out/model.safetensors").read_bytes() == former
    load_model(disk / "out")
    assert list(tmp_path.glob(CHECKPOINTS))


def test_tracker_on_a_full_disk_does_not_stop_the_run(start_train, small_disk, tmp_path):
    disk = small_disk(64)
    (disk / "filler").write_bytes(bytes(60_000))
    (tmp_path / ".runs").mkdir()
    (tmp_path / ".runs/wandb").symlink_to(disk)

    code, output = start_train(max_steps=6).finish()

    assert code == 0, output
    assert "Traceback" not in output
    (warning,) = [line for line in output.splitlines() if line.startswith("WARNING")]
    assert "is not complete: [Errno 28] No space left on device" in warning
    load_model(tmp_path / "out")


def test_api_key_without_a_server_gives_one_warning_and_an_offline_record(start_train, tmp_path):
    environment = {"WANDB_API_KEY": "0" * 40, "WANDB_BASE_URL": "http://127.0.0.1:9"}
    started = time.monotonic()

    code, output = start_train(max_steps=2, environment=environment).finish()

    assert code == 0
    warnings = [line for line in output.splitlines() if line.startswith("WARNING")]
    assert len(warnings) == 1, output
    assert "W&B cannot be used" in warnings[0]
    assert "recording offline in .runs/wandb" in warnings[0]
    assert time.monotonic() - started < 120
    (record,) = (tmp_path / ".runs/wandb/wandb").glob("offline-run-*")
    assert [row["_step"] for row in read_run(record).history] == [1, 2]


def test_two_phases_run_in_parallel_and_the_same_run_twice_is_refused(
    start_train, training_data, tmp_path
):
    fields = {"max_steps": 40, "checkpoint_steps": 2}
    joint = start_train("joint", phase="joint", **fields)
    grounding = start_train("grounding", phase="grounding", **fields)
    endless = start_train("endless", max_steps=100_000)
    endless.wait_for(".runs/train/endless-*/step=*.ckpt")

    code, output = start_train("endless", max_steps=100_000).finish()

    assert code == 1
    memory, ending = output.splitlines()
    assert "memory of each process" in memory
    assert "another process runs the same training" in ending
    assert endless.watch()
    for name, process in (("joint", joint), ("grounding", grounding)):
        code, output = process.finish()
        assert code == 0, output
        load_model(tmp_path / name)


def test_ctrl_c_while_scenes_are_drawn_is_one_line(tmp_path):
    process = subprocess.Popen(
        [GLAMM, "synth", "scenes", "--workers", "2"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while not list(tmp_path.glob("scenes/**/*.jpg")):
        time.sleep(0.05)

    os.killpg(process.pid, 2)

    _, output = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in output
    assert "interrupted: the finished scenes stay in scenes" in output
