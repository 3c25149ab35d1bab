import fcntl
import os
import shutil
import signal
from collections import namedtuple
from pathlib import Path

import pytest

from glamm.checkpoints.new_folder import check_space, new_folder
from glamm.errors import BusyError, CheckpointError, HostError

FILES = ("README.md", "config.json", "model.safetensors", "clip/config.json")


def write(folder: Path, text: str = "new") -> None:
    for name in FILES:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)


def files_of(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def killed_after(folder: Path, num_moves: int | None) -> None:
    """Write into a folder in another process, which dies while it writes, or after some files were moved."""
    child = os.fork()
    if not child:
        try:
            rename, moves = Path.rename, []

            def rename_or_die(self, target):
                if len(moves) == num_moves:
                    os.kill(os.getpid(), signal.SIGKILL)
                moves.append(target)
                return rename(self, target)

            Path.rename = rename_or_die
            shutil.rmtree = lambda _: os.kill(os.getpid(), signal.SIGKILL)
            with new_folder(folder, last="config.json") as content:
                write(content, "old")
                if num_moves is None:
                    os.kill(os.getpid(), signal.SIGKILL)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)


@pytest.mark.parametrize("exists", [False, True], ids=["new", "empty"])
def test_files_appear_at_the_end(tmp_path, exists):
    folder = tmp_path / "deep/out"
    if exists:
        folder.mkdir(parents=True)

    with new_folder(folder, last="config.json") as content:
        write(content)
        assert not any((folder / name).exists() for name in FILES)

    assert files_of(folder) == set(FILES)


@pytest.mark.parametrize("exists", [False, True], ids=["new", "empty"])
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_failed_writer_leaves_nothing(tmp_path, error, exists):
    folder = tmp_path / "out"
    if exists:
        folder.mkdir()

    def fail(content):
        write(content)
        raise error

    with pytest.raises(error), new_folder(folder, last="config.json") as content:
        fail(content)

    assert folder.exists() == exists
    assert not list(tmp_path.rglob("*.*"))


def test_writer_that_cannot_move_a_file_leaves_nothing(tmp_path, monkeypatch):
    folder, rename = tmp_path / "out", Path.rename

    def refuse_model(self, target):
        if self.name == "model.safetensors":
            raise OSError(5, "Input/output error", str(self))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse_model)
    with (
        pytest.raises(OSError, match="Input/output"),
        new_folder(folder, last="config.json") as part,
    ):
        write(part)

    assert not folder.exists()


@pytest.mark.parametrize("num_moves", [None, 0, 1, 2, 3], ids=str)
def test_killed_writer_leaves_nothing_that_looks_finished_and_the_next_one_starts_anew(
    tmp_path, num_moves
):
    folder = tmp_path / "out"
    killed_after(folder, num_moves)
    assert not (folder / "config.json").exists()

    with new_folder(folder, last="config.json") as content:
        assert not any((folder / name).exists() for name in FILES)
        write(content)

    assert files_of(folder) == set(FILES)
    assert {(folder / name).read_text() for name in FILES} == {"new"}


def test_writer_killed_after_the_last_file_is_finished(tmp_path):
    folder = tmp_path / "out"
    killed_after(folder, num_moves=9)
    assert {(folder / name).read_text() for name in FILES} == {"old"}

    with new_folder(folder, last="config.json") as content:
        write(content)

    assert files_of(folder) == set(FILES)


def test_parts_of_files_are_nobodys(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / ".model.safetensors.part").write_text("half")

    with new_folder(folder, last="config.json") as content:
        write(content)

    assert files_of(folder) == set(FILES)


@pytest.mark.parametrize("killed", [False, True], ids=["only", "beside leftovers"])
@pytest.mark.parametrize("name", ["notes.txt", ".hidden", "config.json", "sub/file"])
def test_files_of_others_are_refused_and_kept(tmp_path, name, killed):
    folder = tmp_path / "out"
    if killed:
        killed_after(folder, num_moves=1)
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("mine")
    before = files_of(folder)

    shown = name.split("/")[0].replace(".", r"\.")
    with (
        pytest.raises(CheckpointError, match=rf"out: is not empty \({shown}\)\. Name a new folder"),
        new_folder(folder, last="config.json"),
    ):
        pass

    assert files_of(folder) == before


def test_file_is_no_folder(tmp_path):
    (tmp_path / "out").write_text("mine")

    with (
        pytest.raises(CheckpointError, match="out: is not a folder"),
        new_folder(tmp_path / "out", last="config.json"),
    ):
        pass


def test_second_writer_is_refused_and_changes_nothing(tmp_path):
    folder = tmp_path / "out"
    with new_folder(folder, last="config.json") as content:
        write(content)
        with (
            pytest.raises(BusyError, match="another command is writing"),
            new_folder(folder, last="config.json"),
        ):
            pass

    assert files_of(folder) == set(FILES)


def test_writer_that_waited_for_another_finds_its_files(tmp_path, monkeypatch):
    folder, flock = tmp_path / "out", fcntl.flock

    def finish_other_first(file, flags):
        (folder / "config.json").write_text("of the other")
        flock(file, flags)

    monkeypatch.setattr(fcntl, "flock", finish_other_first)
    with (
        pytest.raises(CheckpointError, match="is not empty"),
        new_folder(folder, last="config.json"),
    ):
        pass

    assert (folder / "config.json").read_text() == "of the other"


def test_missing_space_is_told_in_numbers(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**11, 10**11, 2_000_000_000))

    check_space(tmp_path, 2_000_000_000)
    with pytest.raises(
        HostError,
        match=r"needs 16\.04 GB \(16,040,000,000 bytes\), the disk has 2\.00 GB \(2,000,000,000 bytes\) free",
    ):
        check_space(tmp_path, 16_040_000_000)
