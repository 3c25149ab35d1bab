import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from glamm.checkpoints import load_model, save_model
from glamm.checkpoints.store import stored_dtype
from glamm.errors import CheckpointError, HostError
from glamm.files import sha256
from glamm.structures.lineage import Lineage
from tests.builders.memory import allocations
from tests.builders.models import build_batch, build_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_model(
        build_model(), tmp_path / "model", tokenizer_model=b"pieces", lineage=Lineage(start="x")
    )
    return tmp_path / "model"


def test_loaded_model_is_the_saved_one(folder: Path) -> None:
    batch = build_batch([[7, 8, 2]], image_index=[0])

    model, config = load_model(folder)

    assert config == build_model().config
    assert not model.training
    assert model(batch).loss.item() == build_model()(batch).loss.item()
    assert (folder / "tokenizer.model").read_bytes() == b"pieces"
    assert json.loads((folder / "lineage.json").read_text()) == {
        "schema_version": 1,
        "start": "x",
    }


@pytest.mark.parametrize(
    ("stored", "dtype", "expected"),
    [
        (torch.bfloat16, None, torch.bfloat16),
        (torch.float16, None, torch.float16),
        (torch.float32, None, torch.float32),
        (torch.bfloat16, torch.float32, torch.float32),
        (torch.float32, torch.bfloat16, torch.bfloat16),
    ],
    ids=["bfloat16", "float16", "float32", "bfloat16 as float32", "float32 as bfloat16"],
)
def test_weights_are_held_once_in_their_type_or_another(
    tmp_path: Path,
    stored: torch.dtype,
    dtype: torch.dtype | None,
    expected: torch.dtype,
) -> None:
    saved = build_model().to(stored)
    save_model(saved, tmp_path, tokenizer_model=b"pieces", lineage=Lineage())
    size = sum(value.numel() * expected.itemsize for value in saved.state_dict().values())
    largest = max(value.numel() * (2 + 4) for value in saved.state_dict().values())

    with allocations() as memory:
        model, _ = load_model(tmp_path, dtype=dtype)

    assert {value.dtype for value in model.state_dict().values()} == {expected}
    for name, value in model.state_dict().items():
        assert torch.equal(value, saved.state_dict()[name].to(expected)), name
    assert size <= memory.kept < size + 100_000  # buffers
    assert memory.peak < size + largest + 100_000


def test_every_tensor_is_on_the_device(folder: Path) -> None:
    """The meta device stands for a GPU."""
    model, _ = load_model(folder, device="meta", dtype=torch.bfloat16)

    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    assert {name for name, value in tensors.items() if not value.is_meta} == set()
    assert {value.dtype for value in model.parameters()} == {torch.bfloat16}
    assert model.language_model.model.rotary_emb.inv_freq.dtype == torch.float32


def test_saving_leaves_no_other_files(folder: Path) -> None:
    save_model(build_model(seed=1), folder, tokenizer_model=b"pieces", lineage=Lineage())

    names = sorted(path.name for path in folder.iterdir())
    assert names == ["config.json", "lineage.json", "model.safetensors", "tokenizer.model"]
    load_model(folder)


def test_saving_twice_writes_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    save_model(
        build_model(), tmp_path / "again", tokenizer_model=b"pieces", lineage=Lineage(start="x")
    )

    for path in folder.iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()


def test_failed_saving_leaves_the_old_model(folder: Path) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    with (
        _largest_file(1_000_000),
        pytest.raises(HostError, match=r"model\.safetensors\.part: cannot be written"),
    ):
        save_model(build_model(seed=1), folder, tokenizer_model=b"new", lineage=Lineage())

    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@contextmanager
def _largest_file(limit: int) -> Iterator[None]:
    """Limit the size of files in bytes, as a quota does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_truncated_file_is_refused(folder: Path) -> None:
    path = folder / "model.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])

    with pytest.raises(CheckpointError, match=rf"model.safetensors: has {len(content) // 2} bytes"):
        load_model(folder)


def test_changed_byte_is_refused(folder: Path) -> None:
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)

    with pytest.raises(CheckpointError, match=r"its checksum differs from the one in config\.json"):
        load_model(folder)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()

    with pytest.raises(CheckpointError, match=f"{name}: cannot be read"):
        load_model(folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "Invalid JSON"), ("{}", "model: Field required")],
    ids=["half", "empty"],
)
def test_damaged_configuration_is_named(folder: Path, content: str, message: str) -> None:
    (folder / "config.json").write_text(content)

    with pytest.raises(CheckpointError, match=rf"config.json: .*{message}"):
        load_model(folder)


def test_tensors_that_do_not_fit_are_listed_in_one_error(folder: Path) -> None:
    path = folder / "model.safetensors"
    weights = load_file(path)
    weights["extra.weight"] = weights.pop("image_projector.0.bias")
    weights["image_projector.2.bias"] = torch.zeros(3)
    save_file(weights, path)
    config = json.loads((folder / "config.json").read_text())
    del config["weights_sha256"], config["weights_bytes"]
    _write_config(folder, config)

    with pytest.raises(CheckpointError, match="tensors do not fit the configuration") as error:
        load_model(folder)

    message = str(error.value)
    assert "1 missing: image_projector.0.bias" in message
    assert "1 unexpected: extra.weight" in message
    assert "1 with a wrong shape: image_projector.2.bias (3,) instead of (192,)" in message


def _write_config(folder: Path, config: dict) -> None:
    """Write config.json with the checksum of the present weights."""
    path = folder / "model.safetensors"
    config["weights_sha256"] = sha256(path)
    config["weights_bytes"] = path.stat().st_size
    (folder / "config.json").write_text(json.dumps(config))


def test_type_of_a_folder_is_that_of_most_weights(tmp_path):
    model = build_model().bfloat16()
    model.mask_decoder.float()
    save_model(model, tmp_path, tokenizer_model=b"pieces", lineage=Lineage())

    assert stored_dtype(tmp_path) == torch.bfloat16
