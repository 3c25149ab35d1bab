"""The reports of `glamm evaluate`: report.json, refseg.json and semseg.json.

All metrics are fractions. `compat` repeats the evaluation of the official release, `fixed` repairs its faults.
"""

from collections.abc import Sequence
from operator import not_
from typing import Annotated, ClassVar, TypeAlias

from pydantic import Field

from glamm.structures.issue import IssueKind
from glamm.structures.versioned_file import FileSection, IfKnown, VersionedFile

PAPER_METRICS = ("METEOR", "CIDEr", "AP50", "mIoU", "Recall")
"""The metrics of grounded conversation generation, in the order of the paper's table."""

REPORT_FILE = "report.json"
REFSEG_FILE = "refseg.json"
EXAMPLES_FILE = "overlays/examples.png"
"""The examples of a report as one image, in the folder of the report."""

_WELL = 0.5  # of the phrases found, and mIoU

ImageId: TypeAlias = str | int


class GcgCounts(FileSection):
    """How much was compared, over all images."""

    images: int
    annotated_masks: int
    annotated_labels: int
    predicted_masks: int
    predicted_phrases: int


class SkippedImage(FileSection):
    """An image whose labels the release's recall counts as missed because its script raises an exception.

    Args:
        exception: Class of the exception in the release.
        text: Which mask has no label or phrase.
    """

    image_id: ImageId
    exception: str
    text: str


class GcgDetail(FileSection):
    """Scores of the single images.

    Args:
        mious: mIoU by image; None where no mask is annotated and the value is undefined.
        matches: (annotated, predicted) indices of the masks that recall counts as found, by image.
        skipped: Images that recall does not match; `compat` only.
        captions: Caption metrics by image id, of images with a reference.
    """

    mious: Annotated[tuple[tuple[ImageId, float | None], ...], Field(alias="per_image_miou")]
    matches: Annotated[
        tuple[tuple[ImageId, tuple[tuple[int, int], ...]], ...],
        Field(alias="per_image_matches_gt_pred"),
    ]
    skipped: Annotated[tuple[SkippedImage, ...], Field(alias="recall_swallowed_errors")]
    captions: Annotated[dict[str, dict[str, float]], Field(alias="per_image_captions")]


class GcgScores(FileSection):
    """The metrics of one mode.

    Args:
        miou: Mean over images.
        recall: `true_positives` divided by `actual_positives`.
        true_positives: Labels that were found.
        actual_positives: Labels of all images.
        captions: Caption metrics of the whole set, by name.
        coco_stats: COCO's twelve numbers; -1 where nothing of that size is annotated.
        f1: Of masks at an IoU of 0.5; only in `fixed`, like the three that follow.
        has_confidences: Whether average precision used confidences of the model.
        detail: Scores of the single images; not in a report of a model.
    """

    ap: Annotated[float, Field(alias="AP")]
    ap50: Annotated[float, Field(alias="AP50")]
    miou: Annotated[float, Field(alias="mIoU")]
    recall: Annotated[float, Field(alias="Recall")]
    true_positives: int
    actual_positives: int
    captions: dict[str, float]
    coco_stats: dict[str, float]
    f1: Annotated[IfKnown[float], Field(alias="F1")] = None
    f1_precision: Annotated[IfKnown[float], Field(alias="F1_precision")] = None
    f1_recall: Annotated[IfKnown[float], Field(alias="F1_recall")] = None
    has_confidences: IfKnown[bool] = None
    detail: IfKnown[GcgDetail] = None

    @property
    def paper_metrics(self) -> dict[str, float]:
        """The metrics of the paper's table by name; a caption metric that was not computed is 0."""
        others = {"AP50": self.ap50, "mIoU": self.miou, "Recall": self.recall}
        return {name: others.get(name, self.captions.get(name, 0.0)) for name in PAPER_METRICS}


class ReportedIssue(FileSection):
    """Something that was wrong with the inputs.

    Args:
        kind: For counting.
        record: Image id, or "*" for the whole set.
        message: What is wrong and how it was counted.
    """

    kind: IssueKind
    record: str
    message: str


class ReportedExample(FileSection):
    """An image that shows how well the model answers.

    Args:
        found: Phrases whose mask and text were found.
        phrases: Annotated ones, at least 1.
        miou: Of the image.
    """

    image_id: ImageId
    found: int
    phrases: int
    miou: Annotated[float, Field(alias="mIoU")]


def caption_examples(examples: Sequence[ReportedExample]) -> list[str]:
    """What each example shows, such as "answered well: sa_7, 4 of 4 phrases found, mIoU 92.0".

    Args:
        examples: The better one first.
    """
    captions: list[str] = []
    for place, example in enumerate(examples):
        is_good = example.found >= _WELL * example.phrases and example.miou >= _WELL
        if place == 0:
            verdict = "answered well" if is_good else "the best answer"
        else:
            verdict = "the worst answer" if is_good else "not answered well"
        captions.append(
            f"{verdict}: {example.image_id}, {example.found} of {example.phrases} phrases found, "
            f"mIoU {100 * example.miou:.1f}"
        )
    return captions


class GcgReport(VersionedFile):
    """report.json: an evaluation of grounded conversation generation.

    Args:
        split: val or test.
        model: Fingerprint of the model and of the question; None for predictions from elsewhere.
        similarity: Name of the encoder that compared phrases; only reports of the same one can be compared.
        issue_counts: How often each kind of issue occurs.
        issues: In the order in which they were found: ground truth, model, predictions, scores.
        examples: The image with the best answer and the one with the worst; only in the report of a model.
    """

    remedy: ClassVar[str] = "run glamm evaluate gcg again"

    split: str
    model: str | None
    similarity: str
    counts: GcgCounts
    compat: GcgScores
    fixed: GcgScores
    issue_counts: Annotated[dict[str, int], Field(alias="finding_counts")]
    issues: Annotated[tuple[ReportedIssue, ...], Field(alias="findings")]
    examples: Annotated[tuple[ReportedExample, ...], Field(exclude_if=not_)] = ()

    @property
    def modes(self) -> dict[str, GcgScores]:
        """The scores of both modes by name."""
        return {"compat": self.compat, "fixed": self.fixed}

    def without_detail(self) -> "GcgReport":
        """The same report without the scores of the single images."""
        return self.model_copy(
            update={
                mode: scores.model_copy(update={"detail": None})
                for mode, scores in self.modes.items()
            }
        )


class ReferringScores(FileSection):
    """The metrics of referring and semantic segmentation, 0 to 1.

    Args:
        giou: Mean over masks of the intersection over union.
        ciou: Sum of the intersections divided by the sum of the unions.
    """

    giou: float
    ciou: float


class ReferringReport(VersionedFile):
    """refseg.json: an evaluation of referring segmentation.

    Args:
        compat: Up to three expressions of an image, drawn at random, in one conversation; summed as in the release.
        fixed: Every expression of every image, each in its own conversation.
        num_images: Images with expressions.
        num_expressions: Expressions that `fixed` counts.
        num_left_out: Expressions that are too long for the model; they are not counted.
    """

    remedy: ClassVar[str] = "run glamm evaluate refseg again"

    compat: ReferringScores
    fixed: ReferringScores
    num_images: int
    num_expressions: int
    num_left_out: int = 0

    @property
    def modes(self) -> dict[str, ReferringScores]:
        """The scores of both modes by name."""
        return {"compat": self.compat, "fixed": self.fixed}


class SemanticReport(VersionedFile):
    """semseg.json: an evaluation of semantic segmentation, each class of an image in its own conversation.

    Args:
        scores: Over all masks: one for each class that an image was annotated or asked for.
        miou: Mean of `classes`.
        classes: For each class the sum of its intersections divided by the sum of its unions.
        num_images: Images with classes.
        num_masks: Masks that are compared.
        num_left_out: Classes of images whose names are too long for the model; they are not counted.
    """

    remedy: ClassVar[str] = "run glamm evaluate semseg again"

    scores: ReferringScores
    miou: Annotated[float, Field(alias="mIoU")]
    classes: dict[str, float]
    num_images: int
    num_masks: int
    num_left_out: int = 0
