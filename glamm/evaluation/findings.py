"""What an evaluation noticed about its inputs: named, counted, never silently mended."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class FindingKind(StrEnum):
    """What was noticed. The official script stops at the first five, or takes them without a word."""

    MISSING_PREDICTION = "missing_prediction"  # counted as an empty answer
    UNREADABLE_IMAGE = "unreadable_image"  # the model was not asked; counted as an empty answer
    MISSING_CAPTION = "missing_caption"  # an image of the split without ground truth words
    SIZE_MISMATCH = "size_mismatch"  # a mask of another size than its image: overlaps nothing
    DAMAGED_MASK = "damaged_mask"  # runs that do not fill the size: the rest is background
    NO_MASKS = "no_masks"  # not one predicted mask in the whole set
    COUNT_MISMATCH = "count_mismatch"  # words and masks differ in number
    UNNAMED_MASK = "unnamed_mask"  # a mask without words cost its image all hits, as in the release
    LINE_SEPARATOR = "line_separator"  # replaced by a space in a caption
    DUPLICATE_ID = "duplicate_id"  # two annotations of the ground truth with one id
    MISSING_AREA = "missing_area"  # taken from the mask instead
    IMAGE_ID = "image_id"  # a prediction file that names another image
    LIMITED = "limited"  # a part of the split, as asked
    SCORES = "scores"  # some images carry confidences and others none: not used


_FAULTS = {
    FindingKind.MISSING_PREDICTION,
    FindingKind.UNREADABLE_IMAGE,
    FindingKind.MISSING_CAPTION,
    FindingKind.SIZE_MISMATCH,
    FindingKind.DAMAGED_MASK,
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was noticed.

    Args:
        kind: What.
        record: The image id, or "*" for the whole set.
        message: What is wrong and how it was counted.
    """

    kind: FindingKind
    record: str
    message: str

    @property
    def is_fault(self) -> bool:
        """Whether the numbers rest on an assumption that a person must agree to."""
        return self.kind in _FAULTS


def count_findings(findings: Iterable[Finding]) -> dict[str, int]:
    """How often each kind occurs, by name."""
    return dict(sorted(Counter(str(finding.kind) for finding in findings).items()))
