"""Reads a data set and checks it; yields valid records and issues in the order of the files."""

from collections.abc import Iterator
from pathlib import Path

from glamm.data.preparation.check import CheckedRecord, check
from glamm.data.readers.registry import Reader
from glamm.data.record import Record
from glamm.errors import DataError
from glamm.structures.issue import Issue, IssueKind, Severity


def read_checked(
    reader: Reader, root: Path, split: str | None = None
) -> Iterator[CheckedRecord | Issue]:
    """Read and check a data set.

    Args:
        reader: Reader of the data set.
        root: Folder that holds the data set.
        split: One of `reader.splits`, or None for all.

    Raises:
        DataError: A file with many records cannot be read.
    """
    for name in reader.splits if split is None else (split,):
        for item in reader.read(root, name):
            yield from check_item(item)


def read_splits(
    reader: Reader, root: Path, split: str | None = None
) -> Iterator[CheckedRecord | Issue]:
    """As `read_checked`, but a file that cannot be read gives an issue, and the other splits are still read."""
    for name in reader.splits if split is None else (split,):
        try:
            yield from read_checked(reader, root, name)
        except DataError as error:
            file = Path(error.file or "")
            path = file.relative_to(root) if file.is_relative_to(root) else file
            yield Issue.of_file(path.as_posix(), name, error.reason, error.field)


def check_trainable(item: Record | Issue) -> Iterator[CheckedRecord | Issue]:
    """As `check_item`, but a record with nothing to train gives an issue."""
    for result in check_item(item):
        if isinstance(result, CheckedRecord) and not result.record.is_trainable:
            location, reason = result.record.location, "has nothing to train"
            yield Issue(location, Severity.RECORD, IssueKind.NOTHING_TO_TRAIN, reason)
        else:
            yield result


def check_item(item: Record | Issue) -> Iterator[CheckedRecord | Issue]:
    """Check one item of a reader; the issues of a record come before the record."""
    if isinstance(item, Issue):
        yield item
        return
    result = check(item)
    if isinstance(result, tuple):
        yield from result
        return
    yield from result.issues
    yield result
