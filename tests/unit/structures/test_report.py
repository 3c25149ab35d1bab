from pathlib import Path

from glamm.structures.report import (
    PAPER_METRICS,
    GcgReport,
    ReferringReport,
    ReferringScores,
)
from tests.builders.reports import gcg_report


def test_scores_name_the_metrics_of_the_paper() -> None:
    report = gcg_report(ap50=0.5, miou=0.4, recall=0.3, captions={"METEOR": 0.2, "CIDEr": 1.1})

    assert tuple(report.compat.paper_metrics) == PAPER_METRICS
    assert report.fixed.paper_metrics == {
        "METEOR": 0.2,
        "CIDEr": 1.1,
        "AP50": 0.5,
        "mIoU": 0.4,
        "Recall": 0.3,
    }


def test_caption_metric_that_was_not_computed_is_zero() -> None:
    assert gcg_report(captions={}).compat.paper_metrics["METEOR"] == 0.0


def test_gcg_report_has_the_keys_of_the_release(tmp_path: Path) -> None:
    report = gcg_report()
    report.save(tmp_path / "report.json")

    assert GcgReport.load(tmp_path / "report.json") == report
    assert list(report.as_json()) == [
        *("schema_version", "split", "model", "similarity", "counts"),
        *("compat", "fixed", "finding_counts", "findings"),
    ]
    assert list(report.as_json()["compat"]) == [
        *("AP", "AP50", "mIoU", "Recall", "true_positives", "actual_positives"),
        *("captions", "coco_stats"),
    ]
    assert report.as_json()["model"] is None


def test_referring_report_has_both_modes(tmp_path: Path) -> None:
    compat, fixed = ReferringScores(giou=0.5, ciou=0.6), ReferringScores(giou=0.7, ciou=0.8)
    report = ReferringReport(compat=compat, fixed=fixed, num_images=2, num_expressions=5)
    report.save(tmp_path / "refseg.json")

    assert ReferringReport.load(tmp_path / "refseg.json") == report
    assert report.modes == {"compat": compat, "fixed": fixed}
