"""What a reader yields: records with the samples they hold, and what it had to leave out."""

from dataclasses import dataclass, field
from typing import Any

from glamm.errors import DataError
from glamm.structures.sample import Sample

_MOST_SHOWN = 400  # characters of a file's words in a report


@dataclass(frozen=True, slots=True)
class Record:
    """One place in a data set's files and everything that it teaches about one image.

    Args:
        place: Where it is: a file relative to the root, with `#index` or an id.
        file: The annotation file, relative to the root.
        samples: At least one; all have the same image and the same objects. One without turns and without targets
            stands for a record that was understood and teaches nothing.
        remarks: What the layout says beyond the samples, or otherwise, as JSON; shown by `glamm data read`.
        hidden: Entries that the layout's description does not have.
        object_remarks: The same for single objects, by id.
    """

    place: str
    file: str
    samples: tuple[Sample, ...]
    remarks: dict[str, Any] = field(default_factory=dict)
    object_remarks: dict[int, dict[str, Any]] = field(default_factory=dict)
    hidden: tuple[str, ...] = ()

    @property
    def teaches(self) -> bool:
        """Whether there is anything to train."""
        return any(sample.turns or sample.targets for sample in self.samples)


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
        place: How the layout names the record, where that is not `file#record`.
    """

    file: str
    record: str
    reason: str
    field: str | None = None
    is_whole: bool = True
    is_file: bool = False
    place: str | None = None

    def __post_init__(self) -> None:
        """Words of a file may be long, break lines or be no text; a report shows them on one line."""
        for name in ("file", "record", "reason", "field", "place"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, _one_line(str(value)))

    def __str__(self) -> str:
        """One line for the terminal."""
        what = "left out" if self.is_whole else "left out in part"
        return f"{DataError(self.reason, file=self.file, record=self.record, field=self.field)} ({what})"


def _one_line(text: str) -> str:
    """Escape what cannot be printed and cut the middle out of what is too long to be read."""
    if len(text) > _MOST_SHOWN:
        half = _MOST_SHOWN // 2
        text = f"{text[:half]} ... {text[-half:]}"
    return "".join(
        part if part.isprintable() else part.encode("unicode_escape").decode() for part in text
    )
