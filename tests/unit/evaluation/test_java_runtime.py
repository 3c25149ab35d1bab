"""Java programs in folders of any name."""

import pytest

from glamm.evaluation.java_runtime import plain_path


@pytest.fixture
def programs(tmp_path):
    folder = tmp_path / "my program's café: 1"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "words.gz").write_bytes(b"words")
    (folder / "a.jar").write_bytes(b"program")
    return folder


def test_folder_with_a_plain_name_is_used_as_it_is(tmp_path):
    with plain_path(tmp_path) as folder:
        assert folder == tmp_path


def test_folder_with_another_name_is_offered_under_a_plain_one(programs):
    with plain_path(programs) as folder:
        assert not set(" ':é") & set(str(folder))
        assert (folder / "a.jar").read_bytes() == b"program"
        assert not (folder / "a.jar").is_symlink()  # Java would take the path that it links to
        assert (folder / "data" / "words.gz").read_bytes() == b"words"

    assert not folder.exists()
    assert (programs / "data" / "words.gz").exists()
