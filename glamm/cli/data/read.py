"""`glamm data read`: what a reader makes of a data set, as JSON."""

import json
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console

from glamm.data.inspection.as_read.describe import describe
from glamm.data.inspection.as_read.tables import tables_json
from glamm.data.preparation.read_checked import read_splits
from glamm.data.readers.registry import get_reader, no_data_set
from glamm.errors import DataError, RequestError
from glamm.structures.issue import Issue, Severity


def read(
    dataset: str,
    root: Path,
    *,
    split: str | None = None,
    json_file: Annotated[Path, Parameter(name="--json")],
) -> None:
    """Read a data set and write what was read as JSON; every issue is one line on the terminal.

    Args:
        dataset: Name of the data set's layout, such as grand, refcoco+ or coco; a wrong one lists them all.
        root: Folder that holds it.
        split: One of its splits; all unless given.
        json_file: File to write.
    """
    chosen = get_reader(dataset)
    if split is not None and split not in chosen.splits:
        raise RequestError(f"{dataset} has no split '{split}'; it has: {', '.join(chosen.splits)}")
    if not root.is_dir():
        raise DataError("is no folder", file=root)
    if not chosen.exists_in(root):
        raise no_data_set(root, [dataset])
    tables, faults = tables_json(chosen, root)
    found = [*read_splits(chosen, root, split), *faults]
    console = Console(stderr=True, soft_wrap=True, markup=False, highlight=False)
    for item in found:
        if isinstance(item, Issue):
            console.print(str(item))
    result = describe(chosen, root, found) | tables
    text = json.dumps(result, ensure_ascii=False, indent=1)
    json_file.write_text(text, "utf-8", "backslashreplace")
    num_read, num_dropped = len(result["samples"]), len(result["dropped"])
    console.print(f"{num_read} records read, {num_dropped} left out: {json_file}")
    broken = [item for item in found if isinstance(item, Issue) and item.severity is Severity.FILE]
    if broken:
        raise DataError(
            f"{broken[0].reason}; {len(broken)} file(s) are broken", file=broken[0].location.file
        )
