import subprocess

from glamm.git_state import read_git_state


def git(*words, cwd):
    identity = ("-c", "user.name=a", "-c", "user.email=a@b.c")
    subprocess.run(["git", *identity, *words], cwd=cwd, check=True, capture_output=True)


def test_there_is_no_state_outside_a_repository(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))

    assert read_git_state(tmp_path) is None


def test_changed_file_makes_a_tree_unclean(tmp_path):
    (tmp_path / "file").write_text("one")
    git("init", cwd=tmp_path)
    git("add", "file", cwd=tmp_path)
    git("commit", "-m", "first", cwd=tmp_path)

    before = read_git_state(tmp_path)
    (tmp_path / "file").write_text("two")
    after = read_git_state(tmp_path)

    assert (len(before.revision), before.is_clean) == (40, True)
    assert (after.revision, after.is_clean) == (before.revision, False)
