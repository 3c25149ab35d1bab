"""Files are written whole or not at all."""

import errno
from pathlib import Path

import pytest

from glamm.errors import DataError
from glamm.files import final_path, read_json_object, replacing, sha256, write_bytes, write_text


def make_disk_full(path: Path) -> None:
    """Let the next write of `path` fail as on a full disk."""
    path.with_name(f".{path.name}.part").symlink_to("/dev/full")


def test_full_disk_is_an_error_with_the_path_and_leaves_nothing(tmp_path: Path) -> None:
    make_disk_full(tmp_path / "a.json")

    with pytest.raises(OSError, match=r"a\.json") as caught:
        write_bytes(tmp_path / "a.json", b"x" * 100)

    assert caught.value.errno == errno.ENOSPC
    assert list(tmp_path.iterdir()) == []


def test_former_file_stays_if_the_new_one_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b"old")
    make_disk_full(tmp_path / "a.json")

    with pytest.raises(OSError, match="No space"):
        write_bytes(tmp_path / "a.json", b"new")

    assert (tmp_path / "a.json").read_bytes() == b"old"


def test_former_file_stays_if_the_block_fails(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")

    with pytest.raises(ZeroDivisionError, match="zero"), replacing(tmp_path / "a") as unfinished:
        unfinished.write_text(f"{1 / 0}")

    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


def test_final_path_is_that_of_a_file_being_written(tmp_path: Path) -> None:
    with replacing(tmp_path / "a.json") as unfinished:
        assert final_path(unfinished) == tmp_path / "a.json"
        unfinished.touch()

    assert final_path(tmp_path / "a.json") is None


def test_text_is_utf_8_and_reads_back(tmp_path: Path) -> None:
    write_text(tmp_path / "a.json", '{"k\u00e4se": 1}\n')

    assert (tmp_path / "a.json").read_bytes() == b'{"k\xc3\xa4se": 1}\n'
    assert read_json_object(tmp_path / "a.json") == {"k\u00e4se": 1}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "cannot be read"),
        (b"{", "is not JSON"),
        (b"\xff", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"[]", "must be a JSON object"),
    ],
    ids=["missing", "cut", "not-utf-8", "too-deep", "list"],
)
def test_file_without_a_json_object_is_an_error(
    tmp_path: Path, content: bytes | None, reason: str
) -> None:
    path = tmp_path / "a.json"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(DataError, match=rf"a\.json: {reason}"):
        read_json_object(path)


def test_checksum_is_sha256(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")

    assert sha256(tmp_path / "a").startswith("ba7816bf8f01cfea")
