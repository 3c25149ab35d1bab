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
from tests.builders.checkpoints import official, same, write_folder


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


POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 13476839424\n"


@pytest.mark.parametrize(
    "name",
    [
        "pytorch_model.bin",
        "model.safetensors",
        "model.safetensors.index.json",
        "config.json",
        "tokenizer.model",
    ],
)
@pytest.mark.parametrize(
    ("content", "message"),
    [(POINTER, "is a git-lfs pointer"), ("<!DOCTYPE html><html>login</html>", "is a web page")],
    ids=["pointer", "web page"],
)
def test_stand_in_of_a_download_is_named(model, clip, tmp_path, name, content, message):
    folder = write_folder(model, tmp_path / "release", tensors=official(model))
    (folder / name).write_text(content)
    with pytest.raises(CheckpointError, match=message) as refusal:
        load_sources(Sources(folder, clip=clip))
    assert name in str(refusal.value)
    assert len(str(refusal.value).splitlines()) == 1


def test_class_in_a_pickle_is_named_in_plain_text(tmp_path):
    path = tmp_path / "whole.bin"
    torch.save(torch.nn.Linear(2, 2), path)
    with pytest.raises(
        CheckpointError, match=r"more than tensors \(torch.nn.modules.linear.Linear\)"
    ) as refusal:
        open_weights(path).headers()
    assert str(refusal.value).isprintable()


def test_text_in_place_of_weights_is_named(tmp_path):
    path = tmp_path / "pytorch_model.bin"
    path.write_text("not found")
    with pytest.raises(
        CheckpointError, match=r"is not a file of weights \(it begins with b'not foun"
    ):
        open_weights(path).headers()


def test_weights_under_another_name_are_pointed_out(tmp_path):
    (tmp_path / "last.ckpt").write_bytes(b"PK")
    with pytest.raises(CheckpointError, match=r"It contains last.ckpt: name the file itself"):
        open_weights(tmp_path)


def test_folder_with_the_name_of_a_file_is_read(model, clip, tmp_path):
    """As the zero_to_fp32.py of newer versions of DeepSpeed writes it."""
    folder = write_folder(model, tmp_path / "release", tensors={})
    tensors = official(model)
    shards = tmp_path / "pytorch_model.bin"
    shards.mkdir()
    names = sorted(tensors)
    weight_map = {}
    for number, chosen in enumerate((names[::2], names[1::2])):
        torch.save({name: tensors[name] for name in chosen}, shards / f"part-{number}.bin")
        weight_map |= dict.fromkeys(chosen, f"part-{number}.bin")
    index = {"metadata": {}, "weight_map": weight_map}
    (shards / "pytorch_model.bin.index.json").write_text(json.dumps(index))

    assert same(model, load_sources(Sources(shards, clip=clip, config=folder)).model)
