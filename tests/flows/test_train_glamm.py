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


def test_report_table_has_a_row_a_split_and_mode(tmp_path: Path):
    numbers = {"captions": {"METEOR": 0.162, "CIDEr": None}, "AP50": 0.308, "mIoU": 0.663}
    for split in ("val", "test"):
        folder = tmp_path / "data/reports" / split
        folder.mkdir(parents=True)
        (folder / "report.json").write_text(json.dumps({"split": split, "fixed": numbers}))

    lines = report_table(tmp_path).splitlines()

    assert lines[0] == "| | METEOR | CIDEr | AP50 | mIoU | Recall |"
    assert [line.replace("\u2013", "-") for line in lines[2:]] == [
        "| test, fixed | 16.2 | - | 30.8 | 66.3 | - |",
        "| val, fixed | 16.2 | - | 30.8 | 66.3 | - |",
    ]


def test_report_table_is_empty_without_reports(tmp_path: Path):
    assert report_table(tmp_path) == ""
