"""Weight files that are damaged, malicious or incomplete."""

import json
import pickle  # noqa: TID251 - to make files that must be refused
from pathlib import Path

import pytest
import torch

from glamm.checkpoints.load_foreign import load_sources
from glamm.checkpoints.sources import Sources
from glamm.checkpoints.weight_files import open_weights
from glamm.errors import CheckpointError
from tests.builders.checkpoints import official, write_folder


class Malicious:
    def __reduce__(self):
        return Path.touch, (Path("/tmp/glamm-malicious"),)  # noqa: S108 - must never appear


@pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "plain pickle"])
def test_pickle_that_runs_code_is_refused_before_it_does(model, clip, tmp_path, is_zip):
    folder = write_folder(model, tmp_path / "release", tensors={"a": torch.zeros(1)})
    content = {"weight": torch.zeros(2), "trick": Malicious()}
    torch.save(content, folder / "pytorch_model.bin", _use_new_zipfile_serialization=is_zip)

    with pytest.raises(CheckpointError, match="might run code"):
        load_sources(Sources(folder, clip=clip))
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Malicious(), protocol=2))
    with pytest.raises(CheckpointError, match=r"pytorch_model\.bin: is"):
        load_sources(Sources(folder, clip=clip))

    assert not Path("/tmp/glamm-malicious").exists()  # noqa: S108


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda path: path.write_bytes(b""), r"is empty \(0 bytes\)"),
        (truncate, "is damaged"),
        (
            lambda path: path.write_bytes(b"text instead of weights" * 9),
            "is (damaged|refused)",
        ),
        (lambda path: torch.save([1, 2], path), "contains no named tensors"),
        (lambda path: torch.save({"a": 5}, path), "a is not a tensor"),
        (lambda path: torch.save({}, path), "contains no named tensors"),
    ],
    ids=["empty file", "truncated", "text", "a list", "a number", "an empty dict"],
)
def test_damaged_files_are_named(model, clip, tmp_path, damage, reason):
    folder = write_folder(model, tmp_path / "release", tensors=official(model))
    damage(folder / "pytorch_model.bin")

    with pytest.raises(CheckpointError, match=rf"pytorch_model\.bin: .*{reason}|{reason}"):
        load_sources(Sources(folder, clip=clip))


def test_missing_and_unknown_tensors_are_listed(model, clip, tmp_path):
    tensors = official(model)
    without = {name: value for name, value in tensors.items() if "text_hidden_fcs" not in name}
    folder = write_folder(model, tmp_path / "release", tensors=without)
    with pytest.raises(CheckpointError, match=r"4 tensors \(text_to_mask_projector.* are missing"):
        load_sources(Sources(folder, clip=clip))

    torch.save(
        tensors | {"model.layers.77.mlp.up_proj.weight": torch.zeros(1)},
        folder / "pytorch_model.bin",
    )
    with pytest.raises(
        CheckpointError,
        match=r"1 tensors \(language_model\.model\.layers\.77.*unknown to the model",
    ):
        load_sources(Sources(folder, clip=clip))

    torch.save(tensors | {"somebody.else": torch.zeros(1)}, folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"somebody\.else is not a tensor of the release"):
        load_sources(Sources(folder, clip=clip))

    torch.save(tensors | {"model.norm.weight": torch.zeros(5)}, folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"model\.norm\.weight has the shape \(5,\)"):
        load_sources(Sources(folder, clip=clip))

    torch.save(tensors, folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="name the folder of CLIP with --clip"):
        load_sources(Sources(folder))


def test_index_is_checked(model, clip, tmp_path):
    folder = write_folder(model, tmp_path / "release", tensors=official(model))
    index = folder / "pytorch_model.bin.index.json"

    index.write_text(json.dumps({"weight_map": {"a": "../outside.bin"}}))
    with pytest.raises(CheckpointError, match="outside its folder"):
        open_weights(folder)
    index.write_text(json.dumps({"weight_map": {"a": "nowhere.bin"}}))
    with pytest.raises(CheckpointError, match=r"1 of 1 files are missing: nowhere\.bin"):
        open_weights(folder)
    index.write_text(json.dumps({"weight_map": {"a": "pytorch_model.bin"}}))
    with pytest.raises(CheckpointError, match="1 tensors that are in no file: a"):
        load_sources(Sources(folder, clip=clip))
    index.write_text("{")
    with pytest.raises(CheckpointError, match="is not an index"):
        open_weights(folder)
