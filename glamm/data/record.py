"""What a reader yields: records with their samples; what it leaves out is an `Issue`."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from glamm.errors import DataError
from glamm.structures.issue import Issue, IssueLog, Location, Severity
from glamm.structures.sample import Sample


@dataclass(frozen=True, slots=True)
class Record:
    """All samples that follow from one record of a data set; they belong to one image.

    Args:
        location: The annotation file, relative to the root, and the record in it.
        samples: At least one; all have the same image and the same objects. A sample without turns and without targets
            stands for a record that was understood and has nothing to train.
        raw: The record as its layout has it, typed; for inspection only.
    """

    location: Location
    samples: tuple[Sample, ...]
    raw: object = None

    @property
    def is_trainable(self) -> bool:
        """Whether there is anything to train."""
        return any(sample.turns or sample.targets for sample in self.samples)


def read_record(location: Location, read: Callable[[IssueLog], Record]) -> Iterator[Record | Issue]:
    """Yield the issues of a record and then the record.

    Args:
        location: Of the record.
        read: Makes the record and adds the issues of its parts to the log. A DataError that it raises is the issue
            that leaves the record out.
    """
    issues = IssueLog(location.file, location.record)
    try:
        record = read(issues)
    except DataError as error:
        issues.add(error.reason, error.field, severity=Severity.RECORD)
        yield from issues
        return
    yield from issues
    yield record
