"""What an evaluation writes: JSON for machines, Markdown for people. No clock and no path in either."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glamm.errors import DataError
from glamm.evaluation.findings import Finding, count_findings
from glamm.evaluation.gcg.schema import GcgPair
from glamm.evaluation.gcg.score import FIVE, GcgResult

PAPER_GLAMM: Mapping[str, Mapping[str, float]] = {
    "val": {"METEOR": 16.2, "CIDEr": 47.2, "AP50": 30.8, "mIoU": 66.3, "Recall": 41.8},
    "test": {"METEOR": 15.8, "CIDEr": 43.5, "AP50": 29.2, "mIoU": 65.6, "Recall": 40.8},
}
"""GLaMM on GranD-f, times 100. Source: arXiv 2311.03356v3, Table 3."""


@dataclass(frozen=True, slots=True)
class GcgReport:
    """An evaluation with everything that it rests on.

    Args:
        split: val or test.
        similarity: Name of what compared the phrases.
        model: Fingerprint of the model; None for predictions from elsewhere.
        pairs: All images.
        result: The numbers.
        findings: What was noticed, in the order of the files.
    """

    split: str
    similarity: str
    model: str | None
    pairs: tuple[GcgPair, ...]
    result: GcgResult
    findings: tuple[Finding, ...]

    @property
    def counts(self) -> dict[str, int]:
        """How much was compared."""
        return {
            "images": len(self.pairs),
            "annotated_masks": sum(len(pair.truth.masks) for pair in self.pairs),
            "annotated_labels": sum(len(pair.truth.labels) for pair in self.pairs),
            "predicted_masks": sum(len(pair.prediction.masks) for pair in self.pairs),
            "predicted_phrases": sum(len(pair.prediction.phrases) for pair in self.pairs),
        }

    def as_json(self, *, has_detail: bool) -> dict[str, Any]:
        """All numbers as fractions."""
        return {
            "split": self.split,
            "model": self.model,
            "similarity": self.similarity,
            "counts": self.counts,
            "compat": self.result.compat.as_json(has_detail=has_detail),
            "fixed": self.result.fixed.as_json(has_detail=has_detail),
            "finding_counts": count_findings(self.findings),
            "findings": [
                {"kind": str(one.kind), "record": one.record, "message": one.message}
                for one in self.findings
            ],
        }

    def as_markdown(self, images: Sequence[str] = ()) -> str:
        """The paper's table, times 100, with counts, findings and images.

        Args:
            images: Paths relative to the report.
        """
        parts = [
            f"# Grounded captions, {self.split}",
            _table(self),
            _MODES,
            "## What was compared",
            "\n".join(
                f"- {name.replace('_', ' ')}: {count}" for name, count in self.counts.items()
            ),
            f"- phrases compared by: {self.similarity}\n- model: {self.model or 'predictions from a folder'}",
            "## Findings",
            _findings(self.findings),
        ]
        if images:
            parts.append("## Images\n\nThe answer on the left, the ground truth on the right.")
            parts += [f"![{Path(name).stem}]({name})" for name in images]
        return "\n\n".join(parts) + "\n"


def write_json(path: Path, tree: Mapping[str, Any]) -> None:
    """Write a file whole or not at all.

    Raises:
        DataError: A value is no number that JSON knows.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f"{path.name}.part")
    try:
        text = json.dumps(tree, ensure_ascii=False, indent=1, allow_nan=False)
    except ValueError as error:
        raise DataError(f"a number of the evaluation is not finite ({error})", file=path) from error
    half.write_text(text + "\n", encoding="utf-8")
    half.replace(path)


def refuse_faults(findings: Iterable[Finding], *, written: Path | None) -> None:
    """End with an error when numbers rest on an assumption that nobody agreed to.

    Raises:
        DataError: Naming every fault.
    """
    faults = [finding for finding in findings if finding.is_fault]
    if not faults:
        return
    place = f" in {written}" if written else ""
    named = "; ".join(f"{fault.record}: {fault.message}" for fault in faults)
    raise DataError(
        f"{len(faults)} faults in the inputs: {named}. The numbers{place} count them as said; mend the files, or give "
        "--accept-faults if that is what you want."
    )


_MODES = """`compat` repeats the release's evaluation with its quirks, to compare with published numbers. `fixed` is the \
honest reading: AP with the model's confidences and whatever the order of masks, mIoU that charges annotated masks \
nobody found, recall that pairs masks first and then asks whether the words agree. The paper's row is on GranD-f and with \
BERT's similarity: for orientation only unless this is the same data."""


def _table(report: GcgReport) -> str:
    rows = [
        ("this model, compat", {k: 100 * v for k, v in report.result.compat.five.items()}),
        ("this model, fixed", {k: 100 * v for k, v in report.result.fixed.five.items()}),
    ]
    if report.split in PAPER_GLAMM:
        rows.append(("GLaMM, paper", dict(PAPER_GLAMM[report.split])))
    lines = ["| | " + " | ".join(FIVE) + " |", "|---|" + "---:|" * len(FIVE)]
    lines += [
        f"| {name} | " + " | ".join(f"{values[column]:.1f}" for column in FIVE) + " |"
        for name, values in rows
    ]
    extra = report.result.fixed.extra
    lines.append(
        f"\nF1 of masks at an overlap of 0.5: {100 * extra['F1']:.1f} "
        f"(precision {100 * extra['F1_precision']:.1f}, recall {100 * extra['F1_recall']:.1f})"
    )
    return "\n".join(lines)


def _findings(findings: Sequence[Finding]) -> str:
    if not findings:
        return "None."
    counts = count_findings(findings)
    lines = [f"- {kind}: {count}" for kind, count in counts.items()]
    lines.append("\n| image | kind | what |\n|---|---|---|")
    table = [f"| {one.record} | {one.kind} | {_cell(one.message)} |" for one in findings]
    return "\n".join(lines) + "\n" + "\n".join(table)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
