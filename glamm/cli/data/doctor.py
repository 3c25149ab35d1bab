"""`glamm data doctor`: what a folder of data sets holds."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console

from glamm.data.inspection.inventory import (
    SplitInventory,
    compare_checksums,
    load_checksums,
    take_inventory,
)
from glamm.errors import DataError


def doctor(
    root: Path,
    *,
    json_file: Annotated[Path | None, Parameter(name="--json")] = None,
    against: Path | None = None,
) -> None:
    """List the data sets below a folder: splits, issues, licenses, and counts beside the published ones.

    Args:
        root: Holds data sets in official layouts.
        json_file: Gets everything, checksums of the annotation files too.
        against: A file that --json wrote before: files whose content has changed are named.
    """
    console = Console(soft_wrap=True, markup=False, highlight=False)
    inventory = take_inventory(root)
    for name, terms in inventory.licenses.items():
        console.print(f"{name} ({terms})")
        for split in (split for split in inventory.splits if split.dataset == name):
            for line in _lines(split):
                console.print(line)
    console.print(f"missing: {', '.join(inventory.missing) or 'none'}")
    if json_file:
        inventory.save(json_file)
    if against:
        for line in compare_checksums(inventory.checksums, load_checksums(against)):
            console.print(line)
    broken_files = [line for split in inventory.splits for line in split.broken_files]
    if broken_files:
        raise DataError(f"{len(broken_files)} file(s) are broken; first: {broken_files[0]}")


def _lines(split: SplitInventory) -> Iterator[str]:
    line = f"  {split.split}: {split.records} records, {split.images} images"
    if split.published:
        about = "about " if split.published.is_rounded else ""
        verdict = "as published" if split.published.agrees else "DIFFERS"
        line += f"; published: {about}{split.published.number} {split.published.unit}: {verdict}"
    yield line
    for reason, count in split.left_out.items():
        yield f"    left out {count}: {reason}; first: {split.examples[reason]}"
    for file in split.broken_files:
        yield f"    broken: {file}"
