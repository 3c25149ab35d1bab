"""GranD's three tables for pretraining, LMDB: objects, grounded captions and expressions of each image.

Source: spec of GranD's preparation (A.8); `prepare_annotations` and the pretraining readers of the release.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from heapq import merge
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from glamm.data.parsing import json_fields
from glamm.data.parsing.dataset_paths import ensure_inside, find_file, relative
from glamm.data.parsing.json_stream import parse_json
from glamm.data.parsing.lmdb import LmdbFile
from glamm.errors import DataError
from glamm.structures.issue import Issue

_FOLDERS = {
    "objects": "GranD_Data/Grand_Object_Level_lmdb",
    "captions": "GranD_Data/Grand_Caption_Grounding_lmdb",
    "expressions": "GranD_Data/Grand_Referring_Expression_lmdb",
}
_LISTS = {"train": "Train", "val": "Val"}


@dataclass(frozen=True, slots=True)
class TableRow:
    """What the tables have about an image.

    Args:
        name: The image's file name.
        file: The table that names it first, relative to the root.
        content: As one of GranD's own files, without what the tables lack.
    """

    name: str
    file: str
    content: dict[str, Any]


def find_tables(root: Path) -> dict[str, Path]:
    """The tables below a folder, by what they hold."""
    found = {name: find_file(root, [f"{folder}/data.mdb"]) for name, folder in _FOLDERS.items()}
    return {name: path for name, path in found.items() if path}


def read_tables(root: Path, split: str) -> Iterator[TableRow | Issue]:
    """Yield the images of a split, sorted by name; the tables are read side by side, one row in memory.

    An image is in val where any of the lists beside the tables says so; the release's lists differ between tables.
    """
    tables = {name: ensure_inside(root, path) for name, path in find_tables(root).items()}
    lists = {
        name: _listed(root, [path.parent for path in tables.values()], word)
        for name, word in _LISTS.items()
    }
    seen: set[str] = set()
    with ExitStack() as stack:
        rows = [_tagged(stack.enter_context(LmdbFile(path)), name) for name, path in tables.items()]
        for key, group in groupby(merge(*rows, key=itemgetter(0)), key=itemgetter(0)):
            parts = {name: value for _, name, value in group}
            first = tables[next(iter(parts))]
            image_ref = key.decode("utf-8", "surrogateescape")
            if ("val" if image_ref in lists["val"] else "train") != split:
                continue
            seen.add(image_ref)
            file = relative(root, first)
            try:
                opened = {
                    name: _rows(value, image_ref, tables[name]) for name, value in parts.items()
                }
                yield TableRow(image_ref, file, _content(opened))
            except DataError as error:
                yield Issue.of_record(file, image_ref, error.reason, error.field)
    for image_ref in sorted(lists.get(split, set()) - seen):
        if split == "val" or image_ref not in lists["val"]:
            file = relative(root, next(iter(tables.values())))
            yield Issue.of_record(file, image_ref, "is in a list of keys and in no table")


def all_tables(root: Path) -> tuple[dict[str, dict[str, Any]], list[Issue]]:
    """Every table as it is, for a person to look at, and what could not be read."""
    told: dict[str, dict[str, Any]] = {}
    faults: list[Issue] = []
    for name, path in find_tables(root).items():
        file = relative(root, path)
        told[name] = {}
        try:
            with LmdbFile(ensure_inside(root, path)) as table:
                for key, value in table.items():
                    image_ref = key.decode("utf-8", "surrogateescape")
                    try:
                        told[name][image_ref] = _rows(value, image_ref, path)
                    except DataError as error:
                        faults.append(Issue.of_record(file, image_ref, error.reason, error.field))
        except DataError as error:
            faults.append(Issue.of_file(file, name, error.reason))
    return told, faults


def _tagged(table: LmdbFile, name: str) -> Iterator[tuple[bytes, str, bytes]]:
    return ((key, name, value) for key, value in table.items())


def _listed(root: Path, folders: list[Path], word: str) -> set[str]:
    """Names in the lists of keys beside the tables."""
    names: set[str] = set()
    for folder in folders:
        path = folder / f"{folder.name}_{word}.txt"
        if path.is_file():
            text = ensure_inside(root, path).read_text("utf-8-sig", "surrogateescape")
            names.update(line.strip() for line in text.splitlines() if line.strip())
    return names


def _rows(value: bytes, image_ref: str, path: Path) -> list[Any]:
    """A value is JSON with the image's name around the rows."""
    return json_fields.items(json_fields.mapping(parse_json(value, path), "the value"), image_ref)


def _content(tables: dict[str, list[Any]]) -> dict[str, Any]:
    captions = tables.get("captions", [])
    if "objects" in tables:
        return {"objects": tables["objects"], "short_captions": captions}
    objects: dict[object, dict[str, Any]] = {}
    details = [
        detail
        for caption in captions
        for detail in json_fields.items(json_fields.mapping(caption, "caption"), "details")
    ]
    for index, entry in enumerate([*details, *tables.get("expressions", [])]):
        row = json_fields.mapping(entry, f"row {index}")
        if row.get("segmentation") is None:  # a floating object: in no table with its box
            continue
        number = json_fields.integer(row.get("id"), "id")
        known = objects.setdefault(
            number,
            {key: row.get(key) for key in ("id", "bbox", "segmentation")} | {"attributes": []},
        )
        if isinstance(row.get("attribute"), str):
            known["attributes"].append(row["attribute"])
    return {"objects": list(objects.values()), "short_captions": captions}
