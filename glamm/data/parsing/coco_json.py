"""Files in the manner of COCO: images, annotations and categories in three lists, tied by ids."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glamm.data.parsing import json_fields
from glamm.data.parsing.dataset_paths import ensure_inside, relative
from glamm.data.parsing.json_stream import read_json
from glamm.data.record import Record
from glamm.errors import DataError
from glamm.structures.issue import Issue

Key = int | str


@dataclass(frozen=True, slots=True)
class CocoFile:
    """An indexed file; what is ambiguous or tied to nothing is not in it.

    Args:
        file: Relative to the data set's root.
        images: By id, in file order.
        annotations: Of each image, in file order; every one has an id of its own.
        categories: Names by id.
        findings: What had to be left out.
    """

    file: str
    images: dict[Key, json_fields.Json]
    annotations: dict[Key, list[json_fields.Json]]
    categories: dict[Key, str]
    findings: tuple[Issue, ...]


def read_coco(root: Path, path: Path) -> CocoFile:
    """Read and index a file.

    Raises:
        DataError: It is no JSON object with lists.
    """
    file = relative(root, ensure_inside(root, path))
    try:
        content = json_fields.mapping(read_json(path), "the file")
        findings: list[Issue] = []
        images = _by_id(content, "images", "image", file, findings)
        listed = _by_id(content, "annotations", "annotation", file, findings)
        named = _by_id(content, "categories", "category", file, findings)
    except DataError as error:
        raise (
            error if error.file else DataError(error.reason, file=file, field=error.field)
        ) from error
    annotations: dict[Key, list[json_fields.Json]] = defaultdict(list)
    for number, annotation in listed.items():
        image_id = annotation.get("image_id")
        if isinstance(image_id, int | str) and image_id in images:
            annotations[image_id].append(annotation)
            continue
        reason = f"image_id {str(image_id)[:80]} is not among the images"
        findings.append(Issue.of_part(file, f"annotation {number}", reason, "image_id"))
    categories = {
        number: name
        for number, category in named.items()
        if isinstance(name := category.get("name"), str)
    }
    return CocoFile(file, images, dict(annotations), categories, tuple(findings))


def read_images(
    content: CocoFile, read: Callable[[Key], Iterator[Record | Issue]]
) -> Iterator[Record | Issue]:
    """What is read of each image; one that cannot be read is rejected, the others go on.

    Args:
        content: Lists the images.
        read: Reads one by its id; raises DataError.
    """
    for number in content.images:
        record = f"image {number}"
        try:
            yield from read(number)
        except DataError as error:
            yield Issue.of_record(content.file, record, error.reason, error.field)


def _by_id(
    content: json_fields.Json, name: str, word: str, file: str, findings: list[Issue]
) -> dict[Key, json_fields.Json]:
    """Index a list; entries without an id and all that share one are findings."""
    places: dict[Key, list[int]] = defaultdict(list)
    entries: list[Any] = json_fields.items(content, name)
    # without its image nothing can be read; an annotation or a category is a part
    issue = Issue.of_record if word == "image" else Issue.of_part
    for index, entry in enumerate(entries):
        try:
            number = json_fields.key(json_fields.mapping(entry, f"{name}[{index}]").get("id"), "id")
        except DataError as error:
            findings.append(issue(file, f"{name}[{index}]", error.reason, error.field))
            continue
        places[number].append(index)
    for number, found in places.items():
        if len(found) > 1:
            shown = ", ".join(f"{name}[{index}]" for index in found[:5])
            reason = f"{len(found)} entries have this id ({shown}): none of them can be told apart"
            findings.append(issue(file, f"{word} {number}", reason, "id"))
    return {number: entries[found[0]] for number, found in places.items() if len(found) == 1}
