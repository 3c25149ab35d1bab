import json
import subprocess

import pytest

from glamm.errors import DataError
from glamm.tracking.lineage import gather_lineage, git_state, shard_checksums

MANIFEST = {"files": {"train/chunk-0-0.bin": {"sha256": "ab", "bytes": 3}}}


def test_lineage_is_plain_json_with_the_data_it_came_from(tmp_path):
    (tmp_path / "manifest.json").write_text(json.dumps(MANIFEST))

    lineage = gather_lineage(
        shards=tmp_path,
        start="nothing",
        parameters={"seed": 1},
        run_id="run",
        metrics={"loss": 0.5},
    ).to_json()

    assert json.loads(json.dumps(lineage)) == lineage
    assert lineage["data"] == {"train/chunk-0-0.bin": "ab"}
    assert (lineage["run_id"], lineage["metrics"]) == ("run", {"loss": 0.5})


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"files": {"a": 1}}'])
def test_damaged_manifest_is_named(tmp_path, content):
    (tmp_path / "manifest.json").write_text(content)

    with pytest.raises(DataError, match=r"manifest\.json: is damaged"):
        shard_checksums(tmp_path)


def test_missing_manifest_says_what_to_run(tmp_path):
    with pytest.raises(DataError, match="run glamm data prepare"):
        shard_checksums(tmp_path)


def test_outside_git_the_revision_is_unknown(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))

    assert git_state(tmp_path) == ("unknown", False)


def test_changed_file_makes_a_tree_unclean(tmp_path):
    def git(*words):
        identity = ("-c", "user.name=a", "-c", "user.email=a@b.c")
        subprocess.run(["git", *identity, *words], cwd=tmp_path, check=True, capture_output=True)

    (tmp_path / "file").write_text("one")
    git("init")
    git("add", "file")
    git("commit", "-m", "first")

    revision, is_clean = git_state(tmp_path)
    (tmp_path / "file").write_text("two")

    assert (len(revision), is_clean) == (40, True)
    assert git_state(tmp_path) == (revision, False)
