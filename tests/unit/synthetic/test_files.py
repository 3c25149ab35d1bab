"""Files are whole or absent."""

import errno
from pathlib import Path

import pytest

from glamm.synthetic.files import write_whole


def test_a_full_disk_is_an_os_error_and_leaves_nothing(tmp_path: Path) -> None:
    target = tmp_path / "a.json"
    (tmp_path / "a.json.unfinished").symlink_to("/dev/full")  # a device that is always full
    with pytest.raises(OSError) as caught:  # noqa: PT011 - the number is checked below
        write_whole(target, b"x" * 100)
    assert caught.value.errno == errno.ENOSPC
    assert list(tmp_path.iterdir()) == []


def test_an_older_file_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "a.json"
    target.write_bytes(b"old")
    (tmp_path / "a.json.unfinished").symlink_to("/dev/full")
    with pytest.raises(OSError):  # noqa: PT011 - any
        write_whole(target, b"new")
    assert target.read_bytes() == b"old"
