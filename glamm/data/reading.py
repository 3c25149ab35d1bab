"""Reads a data set, checks it, and gives good records and what was left out in the order of the files."""

from collections.abc import Iterator
from pathlib import Path

from glamm.data.check import Checked, check
from glamm.data.records import Record, Rejection
from glamm.data.sources.registry import Source


def read_checked(
    source: Source, root: Path, split: str | None = None
) -> Iterator[Checked | Rejection]:
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
            yield from checked(item)


def checked(item: Record | Rejection) -> Iterator[Checked | Rejection]:
    """Check one item of a reader; findings come before the record that they are about."""
    if isinstance(item, Rejection):
        yield item
        return
    result = check(item)
    if isinstance(result, tuple):
        yield from result
        return
    yield from result.rejections
    yield result
