"""The report of an evaluation: built from scores, written as Markdown, and checked for faults.

Reports hold neither times nor paths, so the same answers give the same bytes.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from glamm.errors import DataError
from glamm.evaluation.gcg.score import BothModes
from glamm.structures.gcg import ImagePair
from glamm.structures.issue import IssueKind, IssueLog
from glamm.structures.report import (
    EXAMPLES_FILE,
    PAPER_METRICS,
    GcgCounts,
    GcgReport,
    ReportedIssue,
    caption_examples,
)

PAPER_GLAMM: Mapping[str, Mapping[str, float]] = {
    "val": {"METEOR": 16.2, "CIDEr": 47.2, "AP50": 30.8, "mIoU": 66.3, "Recall": 41.8},
    "test": {"METEOR": 15.8, "CIDEr": 43.5, "AP50": 29.2, "mIoU": 65.6, "Recall": 40.8},
}
"""GLaMM on GranD-f, times 100. Source: arXiv 2311.03356v3, Table 3."""

FAULTS = frozenset(
    {
        IssueKind.MISSING_PREDICTION,
        IssueKind.UNREADABLE_IMAGE,
        IssueKind.MISSING_CAPTION,
        IssueKind.SIZE_MISMATCH,
        IssueKind.DAMAGED_MASK,
    }
)
"""Issues after which the numbers rest on an assumption that a person must accept.

The official script stops at them, or accepts them without a message.
"""

WHOLE_SET = "*"
"""The record of an issue that concerns no single image."""

_MODES = """`compat` repeats the release's evaluation with its faults, to compare with published numbers. `fixed` \
repairs them: AP uses the model's confidences and does not depend on the order of masks, mIoU charges annotated masks \
that were not predicted, recall pairs masks first and then compares their phrases. The paper's row is on GranD-f and with \
BERT's similarity: compare with it only if the data and the similarity are the same."""


def build_report(
    split: str,
    pairs: Sequence[ImagePair],
    scores: BothModes,
    issues: IssueLog,
    *,
    similarity: str,
    model: str | None = None,
) -> GcgReport:
    """Put scores and issues together.

    Args:
        split: val or test.
        pairs: All images.
        scores: With detail.
        issues: In the order in which they were found.
        similarity: Name of the encoder that compared phrases.
        model: Fingerprint of the model; None for predictions from elsewhere.
    """
    counts = GcgCounts(
        images=len(pairs),
        annotated_masks=sum(len(pair.truth.masks) for pair in pairs),
        annotated_labels=sum(len(pair.truth.labels) for pair in pairs),
        predicted_masks=sum(len(pair.prediction.masks) for pair in pairs),
        predicted_phrases=sum(len(pair.prediction.phrases) for pair in pairs),
    )
    reported = tuple(
        ReportedIssue(
            kind=issue.kind, record=issue.location.record or WHOLE_SET, message=issue.reason
        )
        for issue in issues
    )
    return GcgReport(
        split=split,
        model=model,
        similarity=similarity,
        counts=counts,
        compat=scores.compat,
        fixed=scores.fixed,
        issue_counts=dict(sorted(Counter(str(issue.kind) for issue in reported).items())),
        issues=reported,
    )


def refuse_faults(report: GcgReport, *, path: Path | None) -> None:
    """Raise an error if the numbers rest on an assumption that nobody accepted.

    Args:
        report: Of a folder or of a model.
        path: Where the report was written, for the message.

    Raises:
        DataError: Lists every fault.
    """
    faults = [issue for issue in report.issues if issue.kind in FAULTS]
    if not faults:
        return
    numbers = f"The numbers in {path}" if path else "The numbers"
    listed = "; ".join(f"{fault.record}: {fault.message}" for fault in faults)
    raise DataError(
        f"{len(faults)} faults in the inputs: {listed}. {numbers} count them as described; repair the files, or give "
        "--accept-faults to accept the numbers."
    )


def render_markdown(report: GcgReport, images: Sequence[str] = ()) -> str:
    """The paper's table, times 100, with counts, issues and images.

    Args:
        report: Of a folder or of a model.
        images: Paths relative to the Markdown file.
    """
    counts = report.counts.model_dump()
    blocks = [
        f"# Grounded captions, {report.split}",
        _metrics_table(report),
        _MODES,
        "## What was compared",
        "\n".join(f"- {name.replace('_', ' ')}: {count}" for name, count in counts.items()),
        f"- phrases compared by: {report.similarity}\n- model: {report.model or 'predictions from a folder'}",
        "## Findings",
        _issue_table(report),
    ]
    if report.examples:
        captions = "\n".join(f"- {caption}" for caption in caption_examples(report.examples))
        blocks.append(f"## Examples\n\n{captions}\n\n![examples]({EXAMPLES_FILE})")
    if images:
        blocks.append("## Images\n\nThe answer on the left, the ground truth on the right.")
        blocks += [f"![{Path(name).stem}]({name})" for name in images]
    return "\n\n".join(blocks) + "\n"


def _metrics_table(report: GcgReport) -> str:
    rows = {
        f"this model, {mode}": {name: 100 * value for name, value in scores.paper_metrics.items()}
        for mode, scores in report.modes.items()
    }
    if report.split in PAPER_GLAMM:
        rows["GLaMM, paper"] = dict(PAPER_GLAMM[report.split])
    lines = ["| | " + " | ".join(PAPER_METRICS) + " |", "|---|" + "---:|" * len(PAPER_METRICS)]
    lines += [
        f"| {name} | " + " | ".join(f"{values[metric]:.1f}" for metric in PAPER_METRICS) + " |"
        for name, values in rows.items()
    ]
    f1, precision, recall = (
        100 * (value or 0.0)
        for value in (report.fixed.f1, report.fixed.f1_precision, report.fixed.f1_recall)
    )
    lines.append(
        f"\nF1 of masks at an IoU of 0.5: {f1:.1f} (precision {precision:.1f}, recall {recall:.1f})"
    )
    return "\n".join(lines)


def _issue_table(report: GcgReport) -> str:
    if not report.issues:
        return "None."
    lines = [f"- {kind}: {count}" for kind, count in report.issue_counts.items()]
    lines.append("\n| image | kind | message |\n|---|---|---|")
    lines += [
        f"| {issue.record} | {issue.kind} | {_escape_cell(issue.message)} |"
        for issue in report.issues
    ]
    return "\n".join(lines)


def _escape_cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
