"""JSON of what a data set has besides its records: GranD's tables for pretraining."""

from pathlib import Path
from typing import Any

from glamm.data.readers.grand import GrandReader
from glamm.data.readers.grand_lmdb import all_tables
from glamm.data.readers.registry import Reader
from glamm.structures.issue import Issue


def tables_json(reader: Reader, root: Path) -> tuple[dict[str, Any], list[Issue]]:
    """The tables below a folder, by kind and image, and what of them cannot be read; none for all data sets but GranD.

    `images_lost_by_the_preparation_steps` are the images that are in the table of objects and not in another one.
    """
    if not isinstance(reader, GrandReader):
        return {}, []
    tables, issues = all_tables(root)
    if not tables:
        return {}, issues
    lost = {
        name: [image for image in tables.get("objects", {}) if image not in table]
        for name, table in tables.items()
        if name != "objects"
    }
    return {"tables": tables, "images_lost_by_the_preparation_steps": lost}, issues
