"""`glamm data doctor`: what a folder of data sets holds."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console

from glamm.data.inspection.inventory import Findings, compare, examine
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
    report = examine(root)
    for name, terms in report.licences.items():
        console.print(f"{name} ({terms})")
        for found in (split for split in report.splits if split.source == name):
            for line in _lines(found):
                console.print(line)
    console.print(f"not there: {', '.join(report.missing) or 'nothing'}")
    if json_file:
        text = json.dumps(report.to_json(), indent=1, ensure_ascii=False)
        json_file.write_text(text + "\n", "utf-8", "backslashreplace")
    if against:
        for line in compare(report.checksums, _checksums(against)):
            console.print(line)
    broken_files = [line for found in report.splits for line in found.broken]
    if broken_files:
        raise DataError(f"{len(broken_files)} file(s) are broken; first: {broken_files[0]}")


def _checksums(former_report: Path) -> dict[str, str]:
    try:
        return json.loads(former_report.read_text(encoding="utf-8"))["checksums"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"is no report of glamm data doctor ({error})", file=former_report
        ) from error


def _lines(found: Findings) -> Iterator[str]:
    line = f"  {found.split}: {found.records} records, {found.images} images"
    if found.published:
        about = "about " if found.published["is_rounded"] else ""
        verdict = "as published" if found.published["agrees"] else "DIFFERS"
        number, unit = found.published["number"], found.published["unit"]
        line += f"; published: {about}{number} {unit}: {verdict}"
    yield line
    for kind, count in found.rejections.items():
        yield f"    left out {count}: {kind}; first: {found.examples[kind]}"
    for broken in found.broken:
        yield f"    broken: {broken}"
