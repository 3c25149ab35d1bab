"""JSON of what a data set has besides its records: GranD's tables for pretraining."""

from pathlib import Path
from typing import Any

from glamm.data.parsing.dataset_paths import ensure_inside, relative
from glamm.data.parsing.lmdb import LmdbFile
from glamm.data.readers.grand import GrandReader
from glamm.data.readers.grand_lmdb import decode_key, find_tables, parse_entries
from glamm.data.readers.registry import Reader
from glamm.errors import DataError
from glamm.structures.issue import Issue


def tables_json(reader: Reader, root: Path) -> tuple[dict[str, Any], list[Issue]]:
    """The tables below a folder, by kind and image, and what of them cannot be read; none for all data sets but GranD.

    `images_lost_by_the_preparation_steps` are the images that are in the table of objects and not in another one.
    """
    if not isinstance(reader, GrandReader):
        return {}, []
    issues: list[Issue] = []
    tables = {name: _table(root, name, path, issues) for name, path in find_tables(root).items()}
    if not tables:
        return {}, issues
    lost = {
        name: [image for image in tables.get("objects", {}) if image not in table]
        for name, table in tables.items()
        if name != "objects"
    }
    return {"tables": tables, "images_lost_by_the_preparation_steps": lost}, issues


def _table(root: Path, name: str, path: Path, issues: list[Issue]) -> dict[str, list[Any]]:
    """The entries of a table, by image."""
    file = relative(root, path)
    entries: dict[str, list[Any]] = {}
    try:
        with LmdbFile(ensure_inside(root, path)) as table:
            for key, value in table.items():
                image_name = decode_key(key)
                try:
                    entries[image_name] = parse_entries(value, image_name, path)
                except DataError as error:
                    issues.append(Issue.of_record(file, image_name, error.reason, error.field))
    except DataError as error:
        issues.append(Issue.of_file(file, name, error.reason))
    return entries
