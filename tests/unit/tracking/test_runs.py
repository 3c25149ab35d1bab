"""An offline record can be read back without a server."""

import shutil
import time

import numpy as np
import pytest
from wandb.errors import CommError, UsageError

from glamm.errors import ConfigError, DataError
from glamm.tracking.runs import ImageWithMasks, Run, start_run
from tests.builders.wandb_record import read_run

pytestmark = [pytest.mark.slow, pytest.mark.e2e]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tracked")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_PROJECT"):
            patch.delenv(name, raising=False)
        run = start_run(name="train-joint", job="train", config={"seed": 3}, folder=folder)
        for step in range(1, 400):
            run.log({"loss": 1.0 / step}, step=step)
        mask = np.zeros((1, 8, 8), dtype=bool)
        mask[:, 2:4] = True
        logged = ImageWithMasks(
            name="a.jpg",
            image=np.zeros((8, 8, 3), dtype=np.uint8),
            predicted=mask,
            predicted_phrases=("a cat",),
            truth=mask[:0],
            truth_phrases=(),
            text="a cat",
            reference="nothing",
        )
        run.log_images("validation", [logged], step=400)
        run.summarize({"val_giou": 0.5})
        run.log_manifest("glamm-tiny", "model", {"data": {"chunk": "ab"}})
        run.finish()
    # on a busy machine, wandb's own process writes the end of the record a moment after `finish` has returned
    deadline = time.monotonic() + 30
    while read_run(run.folder).exit_code is None and time.monotonic() < deadline:
        time.sleep(0.1)
    return run.folder


def test_record_has_parameters_every_step_and_final_metrics(recorded):
    run = read_run(recorded)

    assert (run.name, run.job, run.exit_code) == ("train-joint", "train", 0)
    assert run.config["seed"] == 3
    losses = [row["loss"] for row in run.history if "loss" in row]
    assert losses == [1.0 / step for step in range(1, 400)]
    assert run.summary["val_giou"] == 0.5


def test_record_has_the_artifact_of_the_model(recorded):
    (model,) = [artifact for artifact in read_run(recorded).artifacts if artifact.kind == "model"]

    assert model.name == "glamm-tiny"
    assert model.metadata == {"data": {"chunk": "ab"}}


def test_table_has_predicted_and_annotated_masks(recorded):
    run = read_run(recorded)

    assert run.history[-1]["validation/nrows"] == 1
    (table,) = [artifact for artifact in run.artifacts if artifact.kind == "run_table"]
    masks = [path for name, path in table.files.items() if name.endswith(".mask.png")]
    assert [path.is_file() for path in masks] == [True, True]


def test_record_of_a_killed_run_is_read_to_its_end(recorded, tmp_path):
    cut = tmp_path / recorded.name
    shutil.copytree(recorded, cut)
    (path,) = cut.glob("run-*.wandb")
    path.write_bytes(path.read_bytes()[:-2000])

    run = read_run(cut)

    assert run.exit_code is None
    assert 0 < len(run.history) <= 400


def test_damaged_record_is_reported(recorded, tmp_path):
    bad = tmp_path / recorded.name
    shutil.copytree(recorded, bad)
    (path,) = bad.glob("run-*.wandb")
    content = bytearray(path.read_bytes())
    content[13] = 9  # the kind of the first piece
    path.write_bytes(content)

    with pytest.raises(DataError, match="is damaged at byte 7"):
        read_run(bad)


def test_folder_without_a_record_is_refused(tmp_path):
    with pytest.raises(DataError, match="holds no W&B record"):
        read_run(tmp_path)


class _Recorded:
    """Takes what a run of W&B takes."""

    dir = "run/files"

    def __init__(self, error=None):
        self.artifacts, self._error = [], error

    def log_artifact(self, artifact):
        if self._error:
            raise self._error
        self.artifacts.append(artifact.name)


@pytest.mark.parametrize(
    ("name", "recorded"),
    [
        ("glamm-tiny_1.0", "glamm-tiny_1.0"),
        ("mo del", "mo-del"),
        ("modèle 'é'", "mod-le----"),
        ("a" * 300, "a" * 128),
        ("", "model"),
    ],
    ids=["plain", "blank", "accents", "long", "empty"],
)
def test_model_folder_of_any_name_is_recorded(name, recorded):
    run = _Recorded()

    Run(run).log_manifest(name, "model", {})

    assert run.artifacts == [recorded]


def test_value_that_is_not_accepted_is_a_warning(caplog):
    Run(_Recorded(ValueError("no such kind"))).log_manifest("a", "model", {})

    assert "is not complete: no such kind" in caplog.text


def test_variable_that_wandb_refuses_is_named_in_one_line(tmp_path, monkeypatch):
    def refuse(**_):
        raise UsageError("Invalid project name 'a/b':\nfound '/'")

    monkeypatch.setattr("wandb.init", refuse)

    with pytest.raises(ConfigError, match="not even offline") as caught:
        start_run(name="a", job="train", config={}, folder=tmp_path)

    assert "Invalid project name 'a/b': found '/'" in str(caught.value)
    assert "WANDB_MODE=disabled" in str(caught.value)


def test_run_without_a_server_is_recorded_offline(tmp_path, monkeypatch, caplog):
    modes = []

    def init(mode, **_):
        modes.append(mode)
        if mode == "online":
            raise CommError("no route\nto the host")
        return _Recorded()

    monkeypatch.setenv("WANDB_API_KEY", "key")
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setattr("wandb.init", init)

    start_run(name="a", job="train", config={}, folder=tmp_path)

    assert modes == ["online", "offline"]
    assert "W&B cannot be used (no route to the host); recording offline" in caplog.text
