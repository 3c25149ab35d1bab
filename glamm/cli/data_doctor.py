"""`glamm data doctor`: what a folder of data sets holds."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

if TYPE_CHECKING:
    from glamm.data.inspection.inventory import Findings


def doctor(
    root: Path,
    *,
    json: Annotated[Path | None, Parameter(name="--json")] = None,
    against: Path | None = None,
) -> None:
    """Say which data sets are there, what is missing, under which terms, and how many against the published numbers.

    Args:
        root: Holds data sets in official layouts.
        json: Gets everything, checksums of the annotation files too.
        against: A file that --json wrote before: files whose content is another are named.
    """
    import json as codec  # noqa: PLC0415 - keeps `glamm --help` quick

    from rich.console import Console  # noqa: PLC0415

    from glamm.data.inspection.inventory import compare, examine  # noqa: PLC0415
    from glamm.errors import DataError  # noqa: PLC0415

    console = Console(soft_wrap=True, markup=False, highlight=False)
    report = examine(root)
    for name, terms in report.licences.items():
        console.print(f"{name} ({terms})")
        for found in (split for split in report.splits if split.source == name):
            for line in _lines(found):
                console.print(line)
    console.print(f"not there: {', '.join(report.missing) or 'nothing'}")
    if json:
        text = codec.dumps(report.to_json(), indent=1, ensure_ascii=False)
        json.write_text(text + "\n", "utf-8", "backslashreplace")
    if against:
        try:
            former = codec.loads(against.read_text(encoding="utf-8"))["checksums"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"is no report of glamm data doctor ({error})", file=against) from error
        for line in compare(report.checksums, former):
            console.print(line)
    broken_files = [line for found in report.splits for line in found.broken]
    if broken_files:
        raise DataError(f"{len(broken_files)} file(s) are broken; first: {broken_files[0]}")


def _lines(found: "Findings") -> Iterator[str]:
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
