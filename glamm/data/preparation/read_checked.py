"""Reads a data set, checks it, and gives good records and what was left out in the order of the files."""

from collections.abc import Iterator
from pathlib import Path

from glamm.data.preparation.check import Checked, check
from glamm.data.readers.registry import Source
from glamm.data.record import Record
from glamm.errors import DataError
from glamm.structures.issue import Issue, IssueKind, Severity


def read_checked(source: Source, root: Path, split: str | None = None) -> Iterator[Checked | Issue]:
    """Read and check.

    Args:
        source: The data set.
        root: Its folder.
        split: One of its splits, or None for all.

    Raises:
        DataError: A file that is a whole list of records cannot be read.
    """
    for name in source.splits if split is None else (split,):
        for item in source.read(root, name):
            yield from _checked(item)


def read_splits(source: Source, root: Path, split: str | None = None) -> Iterator[Checked | Issue]:
    """As `read_checked`, but a file that cannot be read is one more thing left out and the other splits go on."""
    for name in source.splits if split is None else (split,):
        try:
            yield from read_checked(source, root, name)
        except DataError as error:
            file = Path(error.file or "")
            shown = file.relative_to(root) if file.is_relative_to(root) else file
            yield Issue.of_file(shown.as_posix(), name, error.reason, error.field)


def checked(item: Record | Issue) -> Iterator[Checked | Issue]:
    """Check one item of a reader for training; findings come before the record that they are about."""
    for result in _checked(item):
        if isinstance(result, Checked) and not result.record.is_trainable:
            reason = "holds nothing to train"
            location = result.record.location
            yield Issue(location, Severity.RECORD, IssueKind.NOTHING_TO_TRAIN, reason)
        else:
            yield result


def _checked(item: Record | Issue) -> Iterator[Checked | Issue]:
    if isinstance(item, Issue):
        yield item
        return
    result = check(item)
    if isinstance(result, tuple):
        yield from result
        return
    yield from result.issues
    yield result
