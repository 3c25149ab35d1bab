from importlib.metadata import version

from glamm.tracking.lineage import gather_lineage


def test_lineage_outside_git_has_no_revision(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.chdir(tmp_path)

    lineage = gather_lineage(
        data={"train/chunk-0-0.bin": "ab"},
        start="nothing",
        parameters={"seed": 1},
        run_id="run",
        metrics={"loss": 0.5},
    )

    assert lineage.as_json() == {
        "schema_version": 1,
        "glamm_version": version("glamm"),
        "git_revision": "unknown",
        "is_git_clean": False,
        "data": {"train/chunk-0-0.bin": "ab"},
        "start": "nothing",
        "parameters": {"seed": 1},
        "run_id": "run",
        "metrics": {"loss": 0.5},
    }
