"""What a reader yields: records with the samples they hold, and what it had to leave out."""

from dataclasses import dataclass, field
from typing import Any

from glamm.errors import DataError
from glamm.structures.sample import Sample


@dataclass(frozen=True, slots=True)
class Record:
    """One place in a data set's files and everything that it teaches about one picture.

    Args:
        place: Where it is: a file relative to the root, with `#index` or an id.
        file: The annotation file, relative to the root.
        samples: At least one; all have the same picture and the same objects.
        remarks: What the layout says beyond the samples, as JSON; shown by `glamm data read`.
        object_remarks: The same for single objects, by id.
    """

    place: str
    file: str
    samples: tuple[Sample, ...]
    remarks: dict[str, Any] = field(default_factory=dict)
    object_remarks: dict[int, dict[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rejection:
    """Something that was left out, and why.

    Args:
        file: The annotation file, relative to the root.
        record: Which record in it.
        reason: What is wrong.
        field: Which field of the record.
        is_whole: The record is gone; otherwise only a part of it is.
        is_file: The file itself cannot be read.
    """

    file: str
    record: str
    reason: str
    field: str | None = None
    is_whole: bool = True
    is_file: bool = False

    def __str__(self) -> str:
        """One line for the terminal."""
        what = "left out" if self.is_whole else "left out in part"
        return f"{DataError(self.reason, file=self.file, record=self.record, field=self.field)} ({what})"
