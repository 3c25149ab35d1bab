"""Mapillary Vistas 2.0: classes are named by its own configuration file."""

from pathlib import Path

from glamm.data.parsing import json_fields
from glamm.data.parsing.dataset_paths import ensure_inside, find_file, relative
from glamm.data.parsing.json_stream import read_json
from glamm.data.readers.semantic_png import ClassMaps
from glamm.errors import DataError

NAME = "mapillary"

_ROOTS = ("mapillary", "Semantic_Segm/mapillary")
_FOLDERS = {"train": "training", "val": "validation"}
_CONFIG = "config_v2.0.json"


def _classes(root: Path) -> dict[int, str]:
    """The `readable` names in lower case; a class is its place in the list."""
    path = find_file(root, [f"{folder}/{_CONFIG}" for folder in _ROOTS])
    if path is None:
        raise DataError(
            f"is missing below {root}: it names the classes", file=f"{_ROOTS[0]}/{_CONFIG}"
        )
    file = relative(root, ensure_inside(root, path))
    try:
        labels = json_fields.items(json_fields.mapping(read_json(path), "the file"), "labels")
        return {
            value: json_fields.text(
                json_fields.mapping(label, f"labels[{value}]"), "readable"
            ).lower()
            for value, label in enumerate(labels)
        }
    except DataError as error:
        raise DataError(error.reason, file=file, field=error.field) from error


_LAYOUT = ClassMaps(
    name=NAME,
    labels={
        split: tuple(f"{place}/{folder}/v2.0/labels" for place in _ROOTS)
        for split, folder in _FOLDERS.items()
    },
    images={
        split: tuple(f"{place}/{folder}/images" for place in _ROOTS)
        for split, folder in _FOLDERS.items()
    },
    classes=_classes,
    ignored=frozenset({255}),
)
SPLITS = tuple(_FOLDERS)
is_in, read = _LAYOUT.is_in, _LAYOUT.read
