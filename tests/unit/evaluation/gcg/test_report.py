"""What a report makes of its issues, and its Markdown."""

from pathlib import Path

import pytest

from glamm.errors import DataError
from glamm.evaluation.gcg.report import build_report, refuse_faults, render_markdown
from glamm.evaluation.gcg.score import BothModes
from glamm.structures.issue import IssueKind, IssueLog
from glamm.structures.report import GcgReport
from tests.builders.gcg import block, pair
from tests.builders.reports import gcg_report

LEFT = block(0, 0, 4, 4)


def _report(*kinds: IssueKind, split: str = "val") -> GcgReport:
    scores = gcg_report()
    issues = IssueLog()
    for kind in kinds:
        record = None if kind is IssueKind.SCORES else "a"
        issues.add(f"a | {kind}", record=record, kind=kind)
    return build_report(
        split,
        [pair([LEFT, LEFT], [LEFT])],
        BothModes(scores.compat, scores.fixed),
        issues,
        similarity="table",
    )


def test_report_counts_masks_and_issues() -> None:
    report = _report(IssueKind.SCORES, IssueKind.MISSING_AREA, IssueKind.MISSING_AREA)

    assert report.counts.model_dump() == {
        "images": 1,
        "annotated_masks": 2,
        "annotated_labels": 2,
        "predicted_masks": 1,
        "predicted_phrases": 1,
    }
    assert report.as_json()["finding_counts"] == {"missing_area": 2, "scores": 1}
    assert report.as_json()["findings"][:2] == [
        {"kind": "scores", "record": "*", "message": "a | scores"},
        {"kind": "missing_area", "record": "a", "message": "a | missing_area"},
    ]


@pytest.mark.parametrize(
    "kind",
    [
        IssueKind.MISSING_PREDICTION,
        IssueKind.UNREADABLE_IMAGE,
        IssueKind.MISSING_CAPTION,
        IssueKind.SIZE_MISMATCH,
        IssueKind.DAMAGED_MASK,
    ],
    ids=str,
)
def test_fault_is_refused_with_the_path_of_its_numbers(kind: IssueKind) -> None:
    report = _report(kind, IssueKind.MISSING_AREA)

    with pytest.raises(DataError, match=rf"^1 faults in the inputs: a: a \| {kind}\. .* in out"):
        refuse_faults(report, path=Path("out.json"))


@pytest.mark.parametrize(
    "kind",
    [
        IssueKind.NO_MASKS,
        IssueKind.COUNT_MISMATCH,
        IssueKind.UNNAMED_MASK,
        IssueKind.LINE_SEPARATOR,
        IssueKind.DUPLICATE_ID,
        IssueKind.MISSING_AREA,
        IssueKind.IMAGE_ID,
        IssueKind.LIMITED,
        IssueKind.SCORES,
    ],
    ids=str,
)
def test_issue_that_needs_no_assumption_is_accepted(kind: IssueKind) -> None:
    refuse_faults(_report(kind), path=None)


def test_markdown_has_the_metrics_the_issues_and_the_images() -> None:
    text = render_markdown(_report(IssueKind.MISSING_AREA), ["overlays/a.png"])

    assert "| | METEOR | CIDEr | AP50 | mIoU | Recall |" in text
    assert "| this model, compat | 20.0 | 110.0 | 50.0 | 40.0 | 30.0 |" in text
    assert "| GLaMM, paper | 16.2 | 47.2 | 30.8 | 66.3 | 41.8 |" in text
    assert "- missing_area: 1" in text
    assert r"| a | missing_area | a \| missing_area |" in text
    assert "![a](overlays/a.png)" in text


def test_markdown_of_another_split_has_no_row_of_the_paper() -> None:
    assert "GLaMM, paper" not in render_markdown(_report(split="other"))
