"""The flow without a server: invalid parameters, and the table of the reports."""

from pathlib import Path

import pytest
from prefect.logging import disable_run_logger

from flows.artifacts import report_table
from flows.train_glamm import train_glamm
from tests.builders.reports import gcg_report


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


def test_report_table_has_a_row_for_each_split_and_mode(tmp_path: Path):
    for split in ("val", "test"):
        report = gcg_report(
            split=split,
            ap50=0.308,
            miou=0.663,
            recall=0.418,
            captions={"METEOR": 0.162, "CIDEr": 0.472},
        )
        report.save(tmp_path / "data/reports" / split / "report.json")

    lines = report_table(tmp_path).splitlines()

    assert lines[0] == "| | METEOR | CIDEr | AP50 | mIoU | Recall |"
    assert lines[2:] == [
        f"| {split}, {mode} | 16.2 | 47.2 | 30.8 | 66.3 | 41.8 |"
        for split in ("test", "val")
        for mode in ("compat", "fixed")
    ]


def test_report_table_is_empty_without_reports(tmp_path: Path):
    assert report_table(tmp_path) == ""
