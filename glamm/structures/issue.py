"""What is wrong with an input: one type for readers, preparation, inventory and evaluation.

An `Issue` is a value that is collected and reported while the work goes on; an error of `glamm.errors` ends it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from glamm.errors import DataError

_MAX_SHOWN = 400  # characters of a file's text in a report


class Severity(StrEnum):
    """How much is lost."""

    FILE = "file"  # the file cannot be read: all its records are lost
    RECORD = "record"  # the record is left out
    PART = "part"  # a part of the record is left out, or was read under an assumption


class IssueKind(StrEnum):
    """What is wrong; the names are part of reports."""

    # readers and preparation
    UNREADABLE_FILE = "unreadable_file"
    INVALID_RECORD = "invalid_record"
    INVALID_PART = "invalid_part"
    NOTHING_TO_TRAIN = "nothing_to_train"
    ASSUMPTION = "assumption"  # what was read where the data does not say what is meant
    # evaluation
    MISSING_PREDICTION = "missing_prediction"  # counted as an empty answer
    UNUSED_PREDICTION = "unused_prediction"  # a file that belongs to no image
    UNREADABLE_IMAGE = "unreadable_image"  # the model did not answer; counted as an empty answer
    MISSING_CAPTION = "missing_caption"  # an image of the ground truth without a caption
    SIZE_MISMATCH = "size_mismatch"  # a mask of another size than its image: overlaps nothing
    DAMAGED_MASK = "damaged_mask"  # runs that do not fill the size; the rest is background
    NO_MASKS = "no_masks"  # no predicted mask in the whole set
    COUNT_MISMATCH = "count_mismatch"  # phrases and masks differ in number
    UNNAMED_MASK = "unnamed_mask"  # without a phrase: its image has no hits, as in the release
    LINE_SEPARATOR = "line_separator"  # replaced by a space in a caption
    INVALID_TEXT = "invalid_text"  # half characters in a caption or phrase, replaced by U+FFFD
    UNSCORED_CAPTION = "unscored_caption"  # a Java program fails at it; counted as empty
    DUPLICATE_ID = "duplicate_id"  # two annotations of the ground truth with one id
    MISSING_AREA = "missing_area"  # taken from the mask instead
    IMAGE_ID = "image_id"  # a prediction file that names another image
    LIMITED = "limited"  # only a part of the split was evaluated, as requested
    SCORES = "scores"  # some images carry confidences and others none: not used


@dataclass(frozen=True, slots=True)
class Location:
    """Where in an input something is.

    Args:
        file: The annotation or prediction file, relative to the data root; "" for a whole set.
        record: Which record in it, as its layout names records.
        field: Which field of the record.
    """

    file: str
    record: str | None = None
    field: str | None = None

    def __post_init__(self) -> None:
        """Text of a file may be long, break lines or be no text; a report shows it on one line."""
        for name in ("file", "record", "field"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, one_line(str(value)))


@dataclass(frozen=True, slots=True)
class Issue:
    """One thing that is wrong with an input.

    Args:
        location: Where.
        severity: How much is lost.
        kind: What is wrong, for counting.
        reason: What is wrong, for a person, on one line.
    """

    location: Location
    severity: Severity
    kind: IssueKind
    reason: str

    def __post_init__(self) -> None:
        """Keep the reason on one line."""
        object.__setattr__(self, "reason", one_line(self.reason))

    @classmethod
    def of_file(
        cls, file: str, record: str | None, reason: str, field: str | None = None
    ) -> "Issue":
        """A file that cannot be read; `record` is what it is about, where its name says that."""
        return cls(Location(file, record, field), Severity.FILE, IssueKind.UNREADABLE_FILE, reason)

    @classmethod
    def of_record(cls, file: str, record: str, reason: str, field: str | None = None) -> "Issue":
        """A record that is left out."""
        return cls(Location(file, record, field), Severity.RECORD, IssueKind.INVALID_RECORD, reason)

    @classmethod
    def of_part(cls, file: str, record: str, reason: str, field: str | None = None) -> "Issue":
        """A part of a record that is left out."""
        return cls(Location(file, record, field), Severity.PART, IssueKind.INVALID_PART, reason)

    @classmethod
    def of_assumption(cls, file: str, record: str, reason: str) -> "Issue":
        """Something that the data does not say and that was assumed; nothing is left out."""
        return cls(Location(file, record), Severity.PART, IssueKind.ASSUMPTION, reason)

    @property
    def is_loss(self) -> bool:
        """Whether something is left out."""
        return self.kind is not IssueKind.ASSUMPTION

    def __str__(self) -> str:
        """One line for the terminal."""
        where = self.location
        lost = "left out in part" if self.severity is Severity.PART else "left out"
        lost = lost if self.is_loss else "assumed"
        error = DataError(self.reason, file=where.file, record=where.record, field=where.field)
        return f"{error} ({lost})"


class IssueLog:
    """Collects issues in the order in which they are found: those of one record, or of several files.

    Args:
        file: The file of an issue that names no other one, relative to the data root.
        record: The record of an issue that names no other one.
    """

    def __init__(self, file: str = "", record: str | None = None) -> None:
        self.file, self.record = file, record
        self.issues: list[Issue] = []

    @property
    def location(self) -> Location:
        """The record whose issues are collected."""
        return Location(self.file, self.record)

    def __iter__(self) -> Iterator[Issue]:
        """The issues in the order in which they were added."""
        return iter(self.issues)

    def add(
        self,
        reason: str,
        field: str | None = None,
        *,
        file: str | None = None,
        record: str | None = None,
        severity: Severity = Severity.PART,
        kind: IssueKind | None = None,
    ) -> None:
        """Add an issue.

        Args:
            reason: What is wrong.
            field: Which field of the record.
            file: Which file; the log's unless given.
            record: Which record in it; the log's unless given.
            severity: How much is lost.
            kind: What is wrong, for counting; follows from the severity unless given.
        """
        location = Location(file or self.file, record or self.record, field)
        self.issues.append(Issue(location, severity, kind or _KIND_OF_SEVERITY[severity], reason))

    def extend(self, issues: Iterable[Issue]) -> None:
        """Add issues that another log collected."""
        self.issues.extend(issues)


_KIND_OF_SEVERITY = {
    Severity.FILE: IssueKind.UNREADABLE_FILE,
    Severity.RECORD: IssueKind.INVALID_RECORD,
    Severity.PART: IssueKind.INVALID_PART,
}
"""The kind of an issue about which nothing more specific is known."""


def one_line(text: str) -> str:
    """Escape what cannot be printed, and cut the middle out of what is too long to be read."""
    if len(text) > _MAX_SHOWN:
        half = _MAX_SHOWN // 2
        text = f"{text[:half]} ... {text[-half:]}"
    if text.isprintable():
        return text
    return "".join(
        part if part.isprintable() else part.encode("unicode_escape").decode() for part in text
    )
