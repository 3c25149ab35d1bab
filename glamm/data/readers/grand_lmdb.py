"""GranD's three LMDB tables for pretraining: objects, grounded captions and expressions of each image.

Source: spec of GranD's preparation (A.8); `prepare_annotations` and the pretraining readers of the release.
"""

from collections.abc import Iterator, Mapping
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
from glamm.data.parsing.layout import Integer, Items, Layout, parse
from glamm.data.parsing.lmdb import LmdbFile
from glamm.errors import DataError
from glamm.structures.issue import Issue

_FOLDERS = {
    "objects": "GranD_Data/Grand_Object_Level_lmdb",
    "captions": "GranD_Data/Grand_Caption_Grounding_lmdb",
    "expressions": "GranD_Data/Grand_Referring_Expression_lmdb",
}
_MAX_SHOWN = 3  # names in a message
_KEY_LISTS = {"train": "Train", "val": "Val"}


class TableCaption(Layout):
    """An entry of the table of captions: only its objects."""

    details: Items[object] = ()


class TableObject(Layout):
    """An object in the tables of captions and of expressions; a floating object has no segmentation."""

    id: Integer
    bbox: object = None
    segmentation: object = None
    attribute: object = None


@dataclass(frozen=True, slots=True)
class TableEntry:
    """What the tables have about an image.

    Args:
        image_name: Its file name.
        file: The table that names it first, relative to the root.
        content: In the form of a GranD file, without what the tables lack.
    """

    image_name: str
    file: str
    content: dict[str, Any]


TABLE_FOLDERS = tuple(f"{folder}/" for folder in _FOLDERS.values())
"""Where the tables are, relative to the root."""


def find_tables(root: Path) -> dict[str, Path]:
    """The tables below a folder, by what they hold: objects, captions or expressions."""
    found = {name: find_file(root, [f"{folder}/data.mdb"]) for name, folder in _FOLDERS.items()}
    return {name: path for name, path in found.items() if path}


def read_tables(root: Path, split: str) -> Iterator[TableEntry | Issue]:
    """Yield the images of a split, sorted by name. The tables are read side by side, with one row of each in memory.

    An image belongs to val where any of the key lists beside the tables says so; the release's lists differ between
    tables.
    """
    tables = {name: ensure_inside(root, path) for name, path in find_tables(root).items()}
    listed = {name: _listed_keys(root, path.parent) for name, path in tables.items()}
    val = set[str]().union(*(keys["val"] for keys in listed.values()))
    seen: set[str] = set()
    with ExitStack() as stack:
        rows = [_tagged(stack.enter_context(LmdbFile(path)), name) for name, path in tables.items()]
        for key, group in groupby(merge(*rows, key=itemgetter(0)), key=itemgetter(0)):
            values = {name: value for _, name, value in group}
            image_name = decode_key(key)
            if ("val" if image_name in val else "train") != split:
                continue
            seen.add(image_name)
            for name, keys in listed.items():
                if name not in values and image_name in keys["train"] | keys["val"]:
                    reason = "is in the list of keys and not in the table"
                    yield Issue.of_part(relative(root, tables[name]), image_name, reason)
            yield from _entry_of(root, tables, image_name, values)
    of_split = set[str]().union(*(keys.get(split, set()) for keys in listed.values()))
    for image_name in sorted(of_split - seen):
        if split == "val" or image_name not in val:
            file = relative(root, next(iter(tables.values())))
            yield Issue.of_record(file, image_name, "is in a list of keys and in no table")


def _entry_of(
    root: Path, tables: Mapping[str, Path], image_name: str, values: Mapping[str, bytes]
) -> Iterator[TableEntry | Issue]:
    """What the tables have about an image; an invalid row costs only itself."""
    entries: dict[str, list[Any]] = {}
    for name, value in values.items():
        try:
            entries[name] = parse_entries(value, image_name, tables[name])
        except DataError as error:
            new_issue = Issue.of_part if len(values) > 1 else Issue.of_record
            yield new_issue(relative(root, tables[name]), image_name, error.reason, error.field)
    if not entries:
        return
    file = relative(root, tables[next(iter(entries))])
    try:
        yield TableEntry(image_name, file, _content(entries))
    except DataError as error:
        yield Issue.of_record(file, image_name, error.reason, error.field)


def decode_key(key: bytes) -> str:
    """The image name of a row; bytes that are no UTF-8 are kept as surrogates."""
    return key.decode("utf-8", "surrogateescape")


def parse_entries(value: bytes, image_name: str, path: Path) -> list[Any]:
    """The entries of a row: its value is a JSON object with the image's name as the only key.

    Args:
        value: Of the row.
        image_name: Its key.
        path: Of the table, for errors.

    Raises:
        DataError: The value is something else, or about another image.
    """
    content = json_fields.mapping(parse_json(value, path), "the value")
    if image_name not in content:
        others = ", ".join(f"'{name}'" for name in list(content)[:_MAX_SHOWN]) or "nothing"
        raise DataError(f"the row is about {others} and not about its key '{image_name}'")
    return json_fields.items(content[image_name], image_name)


def _tagged(table: LmdbFile, name: str) -> Iterator[tuple[bytes, str, bytes]]:
    return ((key, name, value) for key, value in table.items())


def _listed_keys(root: Path, folder: Path) -> dict[str, set[str]]:
    """Image names in the key lists beside a table, by split."""
    names: dict[str, set[str]] = {}
    for split, suffix in _KEY_LISTS.items():
        path = folder / f"{folder.name}_{suffix}.txt"
        text = ""
        if path.is_file():
            text = ensure_inside(root, path).read_text("utf-8-sig", "surrogateescape")
        names[split] = {line.strip() for line in text.splitlines() if line.strip()}
    return names


def _content(entries: dict[str, list[Any]]) -> dict[str, Any]:
    captions = entries.get("captions", [])
    if "objects" in entries:
        return {"objects": entries["objects"], "short_captions": captions}
    details = [detail for caption in captions for detail in parse(TableCaption, caption).details]
    objects: dict[int, dict[str, Any]] = {}
    for index, entry in enumerate([*details, *entries.get("expressions", [])]):
        row = parse(TableObject, entry, f"row {index}")
        if row.segmentation is None:  # a floating object: no table has its box
            continue
        known = objects.setdefault(
            row.id,
            {"id": row.id, "bbox": row.bbox, "segmentation": row.segmentation, "attributes": []},
        )
        if isinstance(row.attribute, str):
            known["attributes"].append(row.attribute)
    return {"objects": list(objects.values()), "short_captions": captions}
