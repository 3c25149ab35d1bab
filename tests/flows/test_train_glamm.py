"""What the flow does without a server: refusals, and the report's table."""

import json
from pathlib import Path

import pytest
from prefect.logging import disable_run_logger

from flows.artifacts import report_table
from flows.train_glamm import train_glamm


@pytest.mark.slow
@pytest.mark.e2e
@pytest.mark.filterwarnings("ignore:_NoneStep:DeprecationWarning")  # DVC's own use of pygtrie
@pytest.mark.parametrize(
    ("overrides", "stages", "message"),
    [
        (["synth.sead=3"], [], "sead"),
        ([], ["trian"], "no stage 'trian'"),
    ],
    ids=["unknown-key", "unknown-stage"],
)
def test_flow_refuses_before_any_stage_and_leaves_no_tree(
    repository: Path,
    monkeypatch: pytest.MonkeyPatch,
    overrides: list[str],
    stages: list[str],
    message: str,
):
    monkeypatch.chdir(repository)

    with disable_run_logger():
        state = train_glamm.fn(overrides=overrides, stages=stages)

    assert state.is_failed()
    assert message in (state.message or "")
    assert not (repository / ".runs/worktrees/run").exists()
    assert not (repository / "dvc.lock").exists()


def test_flow_refuses_a_folder_without_a_pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)

    with disable_run_logger():
        state = train_glamm.fn()

    assert state.is_failed()
    assert "has no dvc.yaml" in (state.message or "")


def test_report_table_has_a_column_a_split(tmp_path: Path):
    for split, miou in (("val", 0.5), ("test", 0.25)):
        folder = tmp_path / "data/reports" / split
        folder.mkdir(parents=True)
        (folder / "report.json").write_text(json.dumps({"fixed": {"miou": miou}, "model": "x"}))

    lines = report_table(tmp_path).splitlines()

    assert lines == ["| | test | val |", "|---|---:|---:|", "| fixed.miou | 0.250 | 0.500 |"]


def test_report_table_is_empty_without_reports(tmp_path: Path):
    assert report_table(tmp_path) == ""
