import hashlib

import pytest
import torch
from safetensors.torch import load_file, save_file

from glamm.checkpoints.tensor_file import (
    WrittenFile,
    read_header,
    read_tensors,
    read_weights,
    write_weights,
)
from glamm.errors import CheckpointError, HostError
from tests.builders.memory import allocations


def tensors():
    torch.manual_seed(0)
    return {
        "b.half": torch.randn(3, 4).half(),
        "a.wide": torch.randn(5, dtype=torch.float64),
        "b.ids": torch.arange(6)[None],
        "z.float": torch.randn(2, 3, 4),
        "a.brain": torch.randn(7).bfloat16(),
        "scalar": torch.tensor(1.5),
        "none": torch.zeros(0, 4),
        "flags": torch.tensor([True, False, True]),
        "tiny": torch.randn(4, 4).to(torch.float8_e4m3fn),
        "é": torch.zeros(1, dtype=torch.uint8),
        "turned": torch.randn(4, 6).T,
    }


def test_file_has_the_bytes_that_the_library_writes(tmp_path):
    plain = {name: value.contiguous() for name, value in tensors().items()}
    save_file(plain, tmp_path / "theirs", metadata={"format": "pt"})

    written = write_weights(tensors(), tmp_path / "ours")

    content = (tmp_path / "ours").read_bytes()
    assert content == (tmp_path / "theirs").read_bytes()
    assert written == WrittenFile(
        tmp_path / "ours", len(content), hashlib.sha256(content).hexdigest()
    )


def test_library_and_we_read_the_same_tensors(tmp_path):
    write_weights(tensors(), tmp_path / "file")

    theirs, read = load_file(tmp_path / "file"), read_weights(tmp_path / "file")

    assert read.keys() == theirs.keys()
    for name, value in theirs.items():
        assert read[name].dtype == value.dtype
        assert torch.equal(
            read[name].reshape(-1).view(torch.uint8), value.reshape(-1).view(torch.uint8)
        )


def test_header_tells_types_and_shapes(tmp_path):
    save_file({"a": torch.zeros(2, 3).half(), "b": torch.tensor(1.0)}, tmp_path / "file")

    header = read_header(tmp_path / "file")

    assert {name: (s.dtype, s.shape, s.num_bytes) for name, s in header.items()} == {
        "a": (torch.float16, (2, 3), 12),
        "b": (torch.float32, (), 4),
    }


def test_tensors_do_not_depend_on_the_file(tmp_path):
    write_weights({"a": torch.ones(1000)}, tmp_path / "file")
    read = read_weights(tmp_path / "file")

    with (tmp_path / "file").open("r+b") as file:
        file.truncate(0)

    assert torch.equal(read["a"], torch.ones(1000))


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-1],
        lambda content: content + b"\0",
        lambda content: content[:5],
        lambda content: b"",
        lambda content: b"version https://git-lfs.github.com/spec/v1\n",
        lambda content: content.replace(b'"dtype":"F32"', b'"dtype":"X32"'),
    ],
    ids=["truncated", "longer", "header", "empty", "text", "type"],
)
def test_damaged_file_is_named(tmp_path, damage):
    path = tmp_path / "file.safetensors"
    write_weights({"a": torch.ones(1000)}, path)
    path.write_bytes(damage(path.read_bytes()))

    with pytest.raises(CheckpointError, match=r"file\.safetensors: is damaged"):
        list(read_tensors(path))


def test_changed_content_is_found_by_the_checksum(tmp_path):
    path = tmp_path / "file.safetensors"
    checksum = write_weights({"a": torch.ones(1000), "b": torch.ones(3)}, path).sha256
    assert len(list(read_tensors(path, expected_sha256=checksum))) == 2
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)

    with pytest.raises(CheckpointError, match="checksum differs"):
        list(read_tensors(path, expected_sha256=checksum))


def test_file_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(HostError, match=r"file: cannot be written \(No such file"):
        write_weights(tensors(), tmp_path / "missing/file")


def test_one_tensor_at_a_time_is_copied(tmp_path):
    """The tensors are turned, so that their bytes have to be put in order; there are at most two at a time."""
    weights = {f"{index}": torch.zeros(500, 200).T for index in range(10)}

    with allocations() as memory:
        write_weights(weights, tmp_path / "file")
    assert 0 < memory.peak <= 2.1 * 400_000

    with allocations() as memory:
        for _name, _tensor in read_tensors(tmp_path / "file"):
            pass
    assert 400_000 <= memory.peak <= 2.1 * 400_000
