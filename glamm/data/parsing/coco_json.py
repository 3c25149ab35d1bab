"""COCO JSON files: images, annotations and categories in three lists, linked by ids."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, cast

from pydantic import AliasChoices, BeforeValidator, Field

from glamm.data.parsing import json_fields
from glamm.data.parsing.dataset_paths import ensure_inside, relative
from glamm.data.parsing.image_refs import SizedImage, find_image
from glamm.data.parsing.json_stream import read_json
from glamm.data.parsing.layout import CocoBox, Flag, Id, Integer, Layout, Text, parse
from glamm.errors import DataError
from glamm.structures.issue import Issue
from glamm.structures.sample import Frame, ImageRef

Key = int | str
"""An id of COCO: a number, or text in some files."""

_MAX_INDICES = 5  # shown in a message about a repeated id


class CocoImage(SizedImage):
    """An entry of `images`; LVIS names the image by its URL."""

    file_name: Annotated[Text, Field(validation_alias=AliasChoices("file_name", "coco_url"))]


class CocoInstance(Layout):
    """An entry of `annotations` that says which pixels an object has. An empty `bbox` counts as a missing one."""

    id: Integer
    category_id: object = None
    bbox: Annotated[CocoBox | None, BeforeValidator(lambda value: value or None)] = None
    segmentation: object = None
    is_crowd: Annotated[Flag, Field(validation_alias="iscrowd")] = False


class _Identified(Layout):
    id: Id


class _OfImage(Layout):
    image_id: Id


@dataclass(frozen=True, slots=True)
class CocoFile:
    """An indexed file. What has no id of its own, or belongs to no image, is not in it.

    Args:
        file: Path from the data set's root.
        images: By id, in file order.
        annotations: By image id, in file order; each has an id that no other annotation has.
        categories: Names by id.
        issues: What was left out.
        info: What the tool that wrote the file says about it; empty if that is no object.
    """

    file: str
    images: dict[Key, json_fields.Json]
    annotations: dict[Key, list[json_fields.Json]]
    categories: dict[Key, str]
    issues: tuple[Issue, ...]
    info: json_fields.Json

    def find_image(
        self, root: Path, folders: Sequence[str], image_id: Key, *, frame: Frame
    ) -> ImageRef:
        """Find one of the images.

        Args:
            root: Folder of the data set.
            folders: Relative folders that may hold the image, in the order in which they are tried.
            image_id: A key of `images`.
            frame: The pixels on which the annotations are drawn.

        Raises:
            DataError: The entry is invalid, or there is no such image below the root.
        """
        image = parse(CocoImage, self.images[image_id])
        return find_image(root, folders, image.file_name, size=image.size, frame=frame, by_end=True)

    def category(self, category_id: object) -> str:
        """Name of a category.

        Raises:
            DataError: There is no category with this id.
        """
        known = json_fields.key(category_id, "category_id")
        if known not in self.categories:
            raise DataError(
                f"{str(category_id)[:80]} is not among the categories", field="category_id"
            )
        return self.categories[known]


def read_coco(root: Path, path: Path) -> CocoFile:
    """Read and index a file.

    Args:
        root: Folder of the data set.
        path: A file below it.

    Raises:
        DataError: The file cannot be read, or is no JSON object of lists.
    """
    file = relative(root, ensure_inside(root, path))
    try:
        content = json_fields.mapping(read_json(path), "the file")
        issues: list[Issue] = []
        images = _index(content, "images", "image", file, issues)
        annotations_by_id = _index(content, "annotations", "annotation", file, issues)
        categories_by_id = _index(content, "categories", "category", file, issues)
    except DataError as error:
        raise (
            error if error.file else DataError(error.reason, file=file, field=error.field)
        ) from error
    annotations: dict[Key, list[json_fields.Json]] = defaultdict(list)
    for annotation_id, annotation in annotations_by_id.items():
        record = f"annotation {annotation_id}"
        try:
            image_id = parse(_OfImage, annotation).image_id
        except DataError as error:
            issues.append(Issue.of_part(file, record, error.reason, error.field))
            continue
        if image_id in images:
            annotations[image_id].append(annotation)
        else:
            reason = f"image_id {str(image_id)[:80]} is not among the images"
            issues.append(Issue.of_part(file, record, reason, "image_id"))
    categories: dict[Key, str] = {}
    for category_id, category in categories_by_id.items():
        name = category.get("name")
        if isinstance(name, str) and name.strip():
            categories[category_id] = name.strip()
        else:
            issues.append(Issue.of_part(file, f"category {category_id}", "has no name", "name"))
    info = content.get("info")
    info = cast("json_fields.Json", info) if isinstance(info, dict) else {}
    return CocoFile(file, images, dict(annotations), categories, tuple(issues), info)


def _index(
    content: json_fields.Json, name: str, noun: str, file: str, issues: list[Issue]
) -> dict[Key, json_fields.Json]:
    """Entries of a list by id; entries without an id, and different ones that share an id, are left out."""
    entries: list[Any] = json_fields.items(content.get(name), name)
    # an image is a record of its own; an annotation or a category is a part of records
    new_issue = Issue.of_record if noun == "image" else Issue.of_part
    indices: dict[Key, list[int]] = defaultdict(list)
    for index, entry in enumerate(entries):
        try:
            entry_id = parse(_Identified, entry).id
            indices[entry_id].append(index)
            if type(entry["id"]) is not type(entry_id):  # its references may have either type
                entries[index] = {**entry, "id": entry_id}
        except DataError as error:
            issues.append(new_issue(file, f"{name}[{index}]", error.reason, error.field))
    unique: dict[Key, json_fields.Json] = {}
    for entry_id, repeated in indices.items():
        first = entries[repeated[0]]
        record = f"{noun} {entry_id}"
        paths = ", ".join(f"{name}[{index}]" for index in repeated[:_MAX_INDICES])
        if any(entries[index] != first for index in repeated):
            reason = f"{len(repeated)} entries have this id ({paths}): none of them is read"
            issues.append(new_issue(file, record, reason, "id"))
            continue
        unique[entry_id] = first
        if len(repeated) > 1:
            reason = f"{len(repeated)} entries are the same ({paths}): one of them is read"
            issues.append(Issue.of_assumption(file, record, reason))
    return unique
