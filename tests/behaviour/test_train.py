"""`glamm train`: what it writes, and what happens when it is killed or gets a signal."""

import csv
import json
import re
import shutil
import signal
import subprocess

import psutil
import pytest

from glamm.checkpoints.store import load_model
from tests.builders.training import GLAMM
from tests.builders.wandb_record import read_run

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(600)]

CHECKPOINTS = ".runs/train/*/step=*.ckpt"
FOREVER = 100_000


def run_glamm(*arguments, cwd):
    done = subprocess.run(
        [GLAMM, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


def read_table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def endings(output):
    return [line for line in output.splitlines() if line.startswith(("error: ", "interrupted: "))]


def test_run_logs_little_and_writes_a_model_with_its_lineage(start_train, tmp_path):
    process = start_train(max_steps=6)

    code, output = process.finish()

    assert code == 0
    lines = output.splitlines()
    assert [line.split()[:3] for line in lines] == [
        ["INFO", "memory", "of"],
        ["INFO", "step", "6:"],
        ["INFO", "wrote", "out:"],
    ]
    assert re.search(r"6 steps, peak memory \d+ MiB, W&B run \.runs/wandb/", lines[-1])
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "config.json",
        "lineage.json",
        "metrics.csv",
        "model.safetensors",
        "tokenizer.model",
    ]
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "out").iterdir()} == {0o644}
    load_model(tmp_path / "out")
    lineage = json.loads((tmp_path / "out/lineage.json").read_text())
    assert lineage["parameters"]["max_steps"] == 6
    assert lineage["metrics"]["peak_memory_mib"] > 100
    rows = read_table(tmp_path / "out/metrics.csv")
    assert [row["step"] for row in rows] == ["1", "2", "3", "4", "5", "6", "6"]
    assert float(rows[0]["tokens_per_second"]) > float(rows[0]["samples_per_second"]) > 0
    assert 0 <= float(rows[3]["data_wait_share"]) <= 1
    assert float(rows[6]["val_loss"]) > 0
    assert not list((tmp_path / ".runs/train").iterdir())
    (record,) = (tmp_path / ".runs/wandb/wandb").glob("offline-run-*")
    assert read_run(record).id == lineage["run_id"]


@pytest.mark.parametrize(
    "fields",
    [
        {
            "phase": "joint",
            "loader__num_workers": 2,
            "accumulate_grad_batches": 2,
            "precision": "bf16-mixed",
        },
        {"phase": "joint", "devices": 2},
        {"phase": "grounding"},
        {"phase": "global_encoder"},
    ],
    ids=["workers, accumulation and bf16", "two devices", "grounding", "global encoder"],
)
def test_killed_run_resumes_to_the_same_weights(start_train, tmp_path, fields):
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    whole = start_train(cwd=tmp_path / "whole", **fields)
    killed = start_train(cwd=tmp_path / "killed", **fields)
    killed.wait_for(CHECKPOINTS)
    killed.signal(signal.SIGKILL)
    assert killed.finish()[0] == -signal.SIGKILL
    assert not killed.left_over()

    resumed = start_train(cwd=tmp_path / "killed", **fields)

    code, output = resumed.finish()
    assert (code, "resuming from .runs/train/out-" in output) == (0, True), output
    assert whole.finish()[0] == 0
    weights = [tmp_path / name / "out/model.safetensors" for name in ("whole", "killed")]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    tables = [read_table(tmp_path / name / "out/metrics.csv") for name in ("whole", "killed")]
    assert [[row["step"] for row in table] for table in tables] == [
        [*map(str, range(1, 31)), "30"]
    ] * 2
    assert [row["loss"] for row in tables[0]] == [row["loss"] for row in tables[1]]


@pytest.mark.parametrize(
    ("number", "code", "fields", "is_for_all"),
    [
        (signal.SIGINT, 130, {}, False),
        (signal.SIGTERM, 143, {"loader__num_workers": 2}, True),
        (signal.SIGTERM, 143, {"devices": 2}, False),
        (signal.SIGINT, 130, {"devices": 2, "loader__num_workers": 1}, True),
    ],
    ids=["one device", "workers", "two devices", "two devices with workers"],
)
def test_signal_saves_and_ends_with_one_message(start_train, number, code, fields, is_for_all):
    process = start_train(max_steps=FOREVER, checkpoint_steps=20, **fields)
    process.wait_for(CHECKPOINTS)

    process.signal(number, is_for_all=is_for_all)

    ended, output = process.finish()
    assert ended == code, output
    (ending,) = endings(output)
    saved = re.fullmatch(
        rf"interrupted: {number.name}: saved after step (\d+) of {FOREVER}\. "
        r"The same command continues from there\.",
        ending,
    )
    assert saved, ending
    assert "Traceback" not in output
    assert len(output.splitlines()) <= 3, output
    step = int(saved[1])
    assert list(process.cwd.glob(f".runs/train/*/step={step:08d}.ckpt"))
    assert not process.left_over()


def test_signal_before_the_first_step_ends_with_one_message(start_train):
    process = start_train(devices=2)
    while not process.family:
        assert process.watch()

    process.signal(signal.SIGTERM)

    code, output = process.finish()
    assert (code, output.splitlines()) == (
        143,
        ["interrupted: SIGTERM: nothing new was saved; run the same command to start again"],
    )
    assert not process.left_over()


@pytest.mark.parametrize("victim", ["first", "second"])
def test_devices_end_together_when_one_is_killed(start_train, victim):
    process = start_train(devices=2, max_steps=FOREVER)
    process.wait_for(CHECKPOINTS)
    (second,) = [
        child for child in process.family if child.is_running() and "train" in child.cmdline()
    ]

    (psutil.Process(process.pid) if victim == "first" else second).kill()

    code, output = process.finish()
    assert code != 0
    assert not process.left_over()
    if victim == "second":
        assert endings(output) == [
            "error: process 2 of 2 ended with SIGKILL; it had no output. "
            "The same command continues from the last checkpoint."
        ]
        assert "Traceback" not in output


def test_damaged_shard_ends_both_devices_with_one_line(training_data, tmp_path):
    shutil.copytree(training_data / "shards", tmp_path / "shards")
    for chunk in (tmp_path / "shards/train").glob("*.bin"):
        content = bytearray(chunk.read_bytes())
        content[2000:-1000] = bytes(len(content) - 3000)
        chunk.write_bytes(content)
    options = ["--set", f"train.init_from={training_data / 'start'}", "--set", "train.devices=2"]

    code, output = run_glamm("train", tmp_path / "shards", "broken", *options, cwd=tmp_path)

    assert code == 1
    (ending,) = endings(output)
    assert "run glamm data prepare again" in ending
    assert "Traceback" not in output
