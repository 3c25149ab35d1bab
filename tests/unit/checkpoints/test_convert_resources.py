"""What a conversion takes: memory, disk space, time that is shown; and what it leaves when it fails."""

import errno

import pytest
import torch

from glamm.checkpoints.convert import convert
from glamm.checkpoints.inspect import verify
from glamm.checkpoints.load_foreign import Sources
from glamm.checkpoints.probe import probe
from glamm.checkpoints.store import save_model
from glamm.errors import CheckpointError, HostError
from glamm.models.glamm import GLaMM
from glamm.structures.lineage import Lineage
from glamm.text.tokenizer import embedded_tokenizer
from tests.builders.checkpoints import official, write_folder
from tests.builders.memory import allocations
from tests.builders.training import micro_config, save_micro


class Spy:
    """A progress that notes what it is told."""

    def __init__(self):
        self.activities, self.counts = [], []

    def describe(self, activity):
        self.activities.append(activity)

    def begin(self, total):
        self.counts.append([total, 0])

    def advance(self, amount=1):
        self.counts[-1][1] += amount


@pytest.mark.parametrize("to_release", [False, True], ids=["ours", "release"])
def test_progress_counts_all_bytes_that_are_read_and_written(tmp_path, to_release):
    ours, spy = save_micro(tmp_path / "ours"), Spy()
    size = (ours / "model.safetensors").stat().st_size

    convert(Sources(ours), tmp_path / "out", to_release=to_release, progress=spy)

    activities = ["reading", "running every part", "writing", "reading back"]
    compared = ["comparing with transformers"] if to_release else []
    assert spy.activities == activities + compared
    for total, count in spy.counts:
        assert 0.95 * size < count < 1.05 * size
        assert total == pytest.approx(count, rel=0.05)


def test_disk_without_room_is_refused_before_anything_is_read(tmp_path, monkeypatch):
    ours = save_micro(tmp_path / "ours")
    size = (ours / "model.safetensors").stat().st_size
    usage = type("Usage", (), {"free": size})
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    monkeypatch.setattr("glamm.checkpoints.convert.read_weights", None)

    with pytest.raises(HostError, match=rf"needs .* the disk has .*\({size:,} bytes\) free"):
        convert(Sources(ours), tmp_path / "out")
    assert not (tmp_path / "out").exists()

    monkeypatch.undo()
    usage = type("Usage", (), {"free": size // 2 + (2 << 20)})
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    convert(Sources(ours), tmp_path / "half", dtype=torch.bfloat16)  # half as large


def test_result_that_differs_when_read_back_is_removed(tmp_path, monkeypatch):
    ours = save_micro(tmp_path / "ours")
    other = GLaMM.from_config(micro_config()).eval()
    monkeypatch.setattr("glamm.checkpoints.convert._read_back", lambda *_, **__: other)

    with pytest.raises(CheckpointError, match="out: after reading back, the logits"):
        convert(Sources(ours), tmp_path / "out")

    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("to_release", [False, True], ids=["ours", "release"])
def test_failed_writing_leaves_nothing(tmp_path, to_release, monkeypatch):
    ours = save_micro(tmp_path / "ours")

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("glamm.checkpoints.tensor_file._bytes_of", full)

    with pytest.raises(HostError, match=r"safetensors.*: cannot be written \(No space left"):
        convert(Sources(ours), tmp_path / "out", to_release=to_release)

    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("to_release", [False, True], ids=["ours", "release"])
def test_conversion_holds_the_weights_once(tmp_path, to_release):
    """Weights, one tensor, and what a forward pass needs: a second model would double it."""
    config = micro_config()
    language = config.language_model.model_copy(update={"intermediate_size": 60_000})
    torch.manual_seed(0)
    model = GLaMM.from_config(config.model_copy(update={"language_model": language})).bfloat16()
    tokenizer = embedded_tokenizer()
    save_model(model, tmp_path / "ours", tokenizer_model=tokenizer.model, lineage=Lineage())
    size = sum(value.nbytes for value in model.state_dict().values())
    with allocations() as forward:
        probe(model)
    del model

    with allocations() as memory:
        convert(Sources(tmp_path / "ours"), tmp_path / "out", to_release=to_release)
    with allocations() as verified:
        if not to_release:
            verify(tmp_path / "out")

    assert size <= memory.peak < size + forward.peak + size / 10
    assert verified.peak < size + forward.peak + size / 10


def test_mixed_types_become_the_one_that_most_weights_have(model, clip, tmp_path):
    half = {
        name: value if "norm" in name else value.bfloat16()
        for name, value in official(model).items()
    }
    folder = write_folder(
        model, tmp_path / "release", tensors=dict(sorted(half.items(), reverse=True))
    )

    assert convert(Sources(folder, clip=clip), tmp_path / "ours").dtype == "bfloat16"


def test_nothing_is_read_from_weights_that_do_not_fit(model, clip, tmp_path, monkeypatch):
    tensors = official(model)
    del tensors["model.norm.weight"]
    folder = write_folder(model, tmp_path / "release", tensors=tensors)
    monkeypatch.setattr("glamm.checkpoints.weight_files._read", None)

    with pytest.raises(
        CheckpointError, match=r"1 tensors \(language_model.model.norm.weight\) are missing"
    ):
        convert(Sources(folder, clip=clip), tmp_path / "ours")
