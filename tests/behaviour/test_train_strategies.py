"""`glamm train` with adapters and on several processes: the same run, however it is carried out."""

import signal

import pytest
from safetensors.torch import load_file

from glamm.checkpoints.store import load_model

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(300)]

CHECKPOINTS = ".runs/train/*/step=*.ckpt"
ADAPTERS = {
    "lora": "{rank: 2, alpha: 4, dropout: 0.5}",
    "trainable": "[mask_decoder.*, text_to_mask_projector.*]",
    "recompute_activations": "true",
    "optimizer.encoder_factor": 0,
}


def test_killed_run_with_dropout_goes_on_to_the_same_weights(start_train, training_data, tmp_path):
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    whole = start_train(cwd=tmp_path / "whole", **ADAPTERS)
    killed = start_train(cwd=tmp_path / "killed", **ADAPTERS)
    killed.wait_for(CHECKPOINTS)
    killed.signal(signal.SIGKILL)
    killed.finish()
    newest = max((tmp_path / "killed").glob(CHECKPOINTS))
    assert newest.stat().st_size < (training_data / "start/model.safetensors").stat().st_size

    code, words = start_train(cwd=tmp_path / "killed", **ADAPTERS).finish()

    assert (code, "resuming from .runs/train/out-" in words) == (0, True), words
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
