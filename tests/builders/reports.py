"""Reports of an evaluation, for tests that read them."""

from glamm.structures.report import GcgCounts, GcgReport, GcgScores


def gcg_report(
    *,
    split: str = "val",
    ap50: float = 0.5,
    miou: float = 0.4,
    recall: float = 0.3,
    captions: dict[str, float] | None = None,
) -> GcgReport:
    """A report of one image whose two modes have the same scores."""
    scores = GcgScores(
        ap=0.1,
        ap50=ap50,
        miou=miou,
        recall=recall,
        true_positives=1,
        actual_positives=2,
        captions={"METEOR": 0.2, "CIDEr": 1.1} if captions is None else captions,
        coco_stats={"AP": 0.1, "AP50": ap50},
    )
    counts = GcgCounts(
        images=1, annotated_masks=2, annotated_labels=2, predicted_masks=1, predicted_phrases=1
    )
    return GcgReport(
        split=split,
        model=None,
        similarity="table",
        counts=counts,
        compat=scores,
        fixed=scores,
        issue_counts={},
        issues=(),
    )
