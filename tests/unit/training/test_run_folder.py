import errno

import pytest

from glamm.errors import BusyError, CheckpointError, HostError
from glamm.training.run_folder import RunFolder, fingerprint, write_error
from tests.builders.training import train_config


def fingerprint_of(config=None, *, data="a", start="nothing"):
    return fingerprint(config or train_config(), data={"train/chunk.bin": data}, start=start)


@pytest.mark.parametrize(
    "changed",
    [
        {"log_steps": 7},
        {"checkpoint_steps": 7},
        {"validation": {"interval": 3}},
        {"loader": {"batch_size": 2, "num_workers": 2}},
    ],
    ids=["log", "checkpoints", "validation", "workers"],
)
def test_fingerprint_ignores_what_weights_do_not_depend_on(changed):
    assert fingerprint_of(train_config(**changed)) == fingerprint_of()


@pytest.mark.parametrize(
    "other",
    [
        {"config": train_config(seed=1)},
        {"config": train_config(max_steps=7)},
        {"config": train_config(devices=2)},
        {"config": train_config(loader={"batch_size": 3})},
        {"data": "b"},
        {"start": "c"},
    ],
    ids=["seed", "steps", "devices", "batch", "data", "start"],
)
def test_fingerprint_depends_on_what_weights_depend_on(other):
    assert fingerprint_of(**other) != fingerprint_of()


def write(folder, step, content=b"weights"):
    with folder.writing(step) as path:
        path.write_bytes(content)
        folder.commit(step)


def test_only_the_last_two_checkpoints_are_kept(tmp_path):
    folder = RunFolder(tmp_path)

    for step in (2, 4, 6):
        write(folder, step)

    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "step=00000004.ckpt",
        "step=00000004.sha256",
        "step=00000006.ckpt",
        "step=00000006.sha256",
    ]


def test_damaged_checkpoint_is_reported_and_the_one_before_is_used(tmp_path, caplog):
    folder = RunFolder(tmp_path)
    write(folder, 2)
    write(folder, 4)
    folder.checkpoint_path(4).write_bytes(b"weig")

    assert folder.last_good() == folder.checkpoint_path(2)
    assert "step=00000004.ckpt is damaged" in caplog.text


def test_all_checkpoints_damaged_is_an_error(tmp_path):
    folder = RunFolder(tmp_path)
    write(folder, 2)
    folder.checkpoint_path(2).write_bytes(b"")

    with pytest.raises(CheckpointError, match="all its checkpoints are damaged"):
        folder.last_good()


def test_new_run_has_no_checkpoint(tmp_path):
    assert RunFolder(tmp_path).last_good() is None


def fill_disk_while_writing(folder, step):
    with folder.writing(step) as path:
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")


def test_full_disk_keeps_the_earlier_checkpoint_and_no_temporary_file(tmp_path):
    folder = RunFolder(tmp_path)
    write(folder, 2)

    with pytest.raises(HostError, match="No space left on device"):
        fill_disk_while_writing(folder, 4)

    assert folder.last_good() == folder.checkpoint_path(2)
    assert len(list(tmp_path.iterdir())) == 2


def test_same_run_cannot_run_twice_at_once(tmp_path):
    with (
        RunFolder(tmp_path).lock(),
        pytest.raises(BusyError, match="another process runs the same training"),
        RunFolder(tmp_path).lock(),
    ):
        pytest.fail("both run")


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "Free some space and run"),
        (PermissionError(errno.EACCES, "Permission denied"), "Allow writing there"),
        (OSError(errno.EROFS, "Read-only file system"), "or use another folder"),
        (RuntimeError("unexpected end of the file"), "Free some space and run"),
    ],
    ids=["full", "forbidden", "read-only", "torch"],
)
def test_error_of_a_file_that_cannot_be_written_names_the_remedy(tmp_path, error, remedy):
    assert remedy in str(write_error(tmp_path, error))
