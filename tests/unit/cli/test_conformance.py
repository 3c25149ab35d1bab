import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from glamm.cli import app
from glamm.errors import CheckpointError, DataError
from tests.builders.models import GOLDENS

SHARED = ("config.json", "weights.safetensors", "pixels.safetensors", "pixels.json")


@pytest.fixture
def small_set(tmp_path: Path) -> Path:
    """The dev set with one case."""
    folder = tmp_path / "set"
    folder.mkdir()
    for name in (*SHARED, "train_caption.json", "train_caption.safetensors"):
        shutil.copy(GOLDENS / "conformance" / "dev" / name, folder / name)
    for image in (GOLDENS / "conformance" / "dev").glob("*.png"):
        shutil.copy(image, folder)
    return folder


def _run(*arguments: object) -> int:
    """Exit code of the command."""
    try:
        app(["conformance", *map(str, arguments)], exit_on_error=False)
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_conformance_ends_well_and_writes_what_it_computed(
    small_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = _run(small_set, "--dump", tmp_path / "dump")

    computed = load_file(tmp_path / "dump" / "train_caption.safetensors")
    reference = load_file(small_set / "train_caption.safetensors")
    assert code == 0
    assert " 0 off" in capsys.readouterr().out
    assert computed.keys() == reference.keys()
    assert torch.allclose(computed["out.loss"], reference["out.loss"], atol=2e-5)


def test_conformance_ends_with_one_when_a_number_is_off(
    small_set: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = small_set / "train_caption.safetensors"
    reference = load_file(path)
    reference["out.ce_loss"] += 1e-3
    save_file(reference, path)

    code = _run(small_set)

    assert code == 1
    assert " 1 off" in capsys.readouterr().out


def test_a_tensor_that_nobody_computes_is_off(
    small_set: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = small_set / "train_caption.safetensors"
    save_file(load_file(path) | {"mid.something_new": torch.zeros(1)}, path)

    code = _run(small_set)

    assert code == 1
    assert "not computed" in capsys.readouterr().out


@pytest.mark.parametrize(
    "name", ["weights.safetensors", "pixels.safetensors", "train_caption.safetensors"]
)
def test_a_damaged_tensor_file_is_named(small_set: Path, name: str) -> None:
    content = (small_set / name).read_bytes()
    (small_set / name).write_bytes(content[: len(content) // 2])

    with pytest.raises(CheckpointError, match=f"{name}: is damaged"):
        _run(small_set)


@pytest.mark.parametrize("name", ["config.json", "train_caption.json"])
def test_a_damaged_json_file_is_named(small_set: Path, name: str) -> None:
    (small_set / name).write_text("{")

    with pytest.raises(DataError, match=f"{name}: is not JSON"):
        _run(small_set)


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("config.json", DataError),
        ("weights.safetensors", CheckpointError),
        ("image0.png", DataError),
    ],
)
def test_a_missing_file_is_named(small_set: Path, name: str, error: type[Exception]) -> None:
    (small_set / name).unlink()

    with pytest.raises(error, match=f"{name}: cannot be read"):
        _run(small_set)


def test_half_of_a_case_is_an_error(small_set: Path) -> None:
    (small_set / "train_caption.json").unlink()

    with pytest.raises(DataError, match=r"train_caption\.json: cannot be read"):
        _run(small_set)


def test_images_alone_are_a_case(small_set: Path) -> None:
    for name in ("train_caption.json", "train_caption.safetensors"):
        (small_set / name).unlink()

    assert _run(small_set) == 0
