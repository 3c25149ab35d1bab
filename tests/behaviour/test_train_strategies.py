"""`glamm train` with adapters and on several processes gives the same model."""

import os
import signal
import subprocess

import pytest
import torch
from safetensors.torch import load_file

from glamm.checkpoints.store import load_model
from glamm.subprocesses import free_port
from glamm.training.metrics import read_metrics
from tests.builders.training import GLAMM

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(300)]

CHECKPOINTS = ".runs/train/*/step=*.ckpt"
ADAPTERS = {
    "lora": "{rank: 2, alpha: 4, dropout: 0.5}",
    "trainable": "[mask_decoder.*, text_to_mask_projector.*]",
    "activation_checkpointing": "true",
    "optimizer.encoder_lr_scale": 0,
}


@pytest.mark.parametrize(
    "devices",
    [{}, {"devices": 2, "strategy": "fsdp2", "max_steps": 12}],
    ids=["one device", "fsdp2"],
)
def test_killed_run_with_dropout_resumes_to_the_same_weights(
    start_train, training_data, tmp_path, devices
):
    fields = ADAPTERS | devices
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    whole = start_train(cwd=tmp_path / "whole", **fields)
    killed = start_train(cwd=tmp_path / "killed", **fields)
    killed.wait_for(CHECKPOINTS)
    killed.signal(signal.SIGKILL)
    killed.finish()
    newest = max((tmp_path / "killed").glob(CHECKPOINTS))
    assert newest.stat().st_size < (training_data / "start/model.safetensors").stat().st_size

    code, output = start_train(cwd=tmp_path / "killed", **fields).finish()

    assert (code, "resuming from .runs/train/out-" in output) == (0, True), output
    assert whole.finish()[0] == 0
    weights = [tmp_path / name / "out/model.safetensors" for name in ("whole", "killed")]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    load_model(tmp_path / "whole/out")  # adapters are merged
    before = load_file(training_data / "start/model.safetensors")
    changed = {
        name for name, value in load_file(weights[0]).items() if not value.equal(before[name])
    }
    assert {name.split(".")[0] for name in changed} == {
        "language_model",
        "mask_decoder",
        "text_to_mask_projector",
    }
    assert {name.split(".")[-2] for name in changed if name.startswith("language_model")} == {
        "q_proj",
        "v_proj",
    }


ONE = {"devices": 1, "accumulate_grad_batches": 2}
TWO = {"devices": 2, "accumulate_grad_batches": 1}
FEW = {"max_steps": 8, "validation__interval": 4, "checkpoint_steps": 4}


@pytest.mark.parametrize(
    "adapters",
    [{}, ADAPTERS | {"lora": "{rank: 2, dropout: 0}"}],
    ids=["all parameters", "adapters"],
)
@pytest.mark.parametrize("strategy", ["ddp", "fsdp2"])
def test_two_processes_train_as_one_does_in_two_passes(start_train, tmp_path, strategy, adapters):
    """Two devices share the images that one device reads in two passes: the steps differ only by rounding."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    one = start_train(cwd=tmp_path / "one", **FEW, **ONE, **adapters)
    two = start_train(cwd=tmp_path / "two", **FEW, **TWO, **adapters, strategy=strategy)

    ended = [one.finish(), two.finish()]

    assert [code for code, _ in ended] == [0, 0], ended
    tables = [read_metrics(tmp_path / name / "out/metrics.csv") for name in ("one", "two")]
    for name, count in (("loss", 8), ("ce_loss", 8), ("val_loss", 2)):
        single, double = ([row[name] for row in table if name in row] for table in tables)
        assert len(single) == count
        assert double == pytest.approx(single, rel=1e-4), name
    weights = [load_file(tmp_path / name / "out/model.safetensors") for name in ("one", "two")]
    assert weights[0].keys() == weights[1].keys()
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value, rtol=1e-3, atol=2e-4)


def test_torchrun_starts_the_processes(training_data, start_train, tmp_path):
    for name in ("own", "torchrun"):
        (tmp_path / name).mkdir()
    fields = FEW | TWO
    own = start_train(cwd=tmp_path / "own", **fields)
    arguments = options(
        fields
        | {"init_from": training_data / "start", "loader.batch_size": 2, "log_steps": 1}
        | {"validation.num_batches": 1}
    )

    done = subprocess.run(
        [
            GLAMM.with_name("torchrun"),
            "--nproc-per-node",
            "2",
            "--master-port",
            str(free_port()),
            "-m",
            "glamm",
            "train",
            str(training_data / "shards"),
            "out",
            *arguments,
        ],
        cwd=tmp_path / "torchrun",
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert own.finish()[0] == 0
    weights = [tmp_path / name / "out/model.safetensors" for name in ("own", "torchrun")]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def options(fields):
    return [
        option
        for name, value in fields.items()
        for option in ("--set", f"train.{name.replace('__', '.')}={value}")
    ]
