"""Objects and their parts as masks in COCO's form.

Source: spec of semantic segmentation (B.2.4); PACO-LVIS and Pascal-Part, whose readers crash in the release.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from glamm.data.inspection.shown import shown_object
from glamm.data.parsing import json_fields
from glamm.data.parsing.coco_json import CocoFile, Key, read_coco, read_images
from glamm.data.parsing.coco_segmentation import parse_segmentation, usable_box
from glamm.data.parsing.dataset_paths import find_file
from glamm.data.parsing.image_refs import find_image, stated_size
from glamm.data.record import Record
from glamm.errors import DataError
from glamm.structures.issue import Issue, Location
from glamm.structures.sample import ImageRef, Obj, Sample, Target, Task


@dataclass(frozen=True, slots=True)
class _Part:
    """An annotation that can be used: as the file has it and as it is trained."""

    seen: Obj
    trained: Obj


@dataclass(frozen=True, slots=True)
class PartFiles:
    """Where a data set of parts is.

    Args:
        name: Of the data set.
        files: Paths that a split's file may have, by split.
        images: Folders that images may be in.
        plain: Makes words of a category's name or of a half of it.
    """

    name: str
    files: dict[str, tuple[str, ...]]
    images: tuple[str, ...]
    plain: Callable[[str], str] = str

    def is_in(self, root: Path) -> bool:
        """Whether the data set is below a folder."""
        return any(find_file(root, names) for names in self.files.values())

    def read(self, root: Path, split: str) -> Iterator[Record | Issue]:
        """Yield a record an image; an annotation is an object, and both ways to name a part are targets."""
        path = find_file(root, self.files.get(split, ()))
        if path is None:
            return
        content = read_coco(root, path)
        yield from content.findings
        read = partial(self._read_image, root, split, content)
        yield from read_images(content, read)

    def _read_image(
        self, root: Path, split: str, content: CocoFile, number: Key
    ) -> Iterator[Record | Issue]:
        if number not in content.annotations:
            raise DataError("no annotation")
        image = content.images[number]
        image_ref = find_image(
            root, self.images, json_fields.text(image, "file_name"), size=stated_size(image)
        )
        parts: list[_Part] = []
        findings: list[Issue] = []
        for annotation in content.annotations[number]:
            try:
                parts.append(_read_part(annotation, content, image_ref, findings))
            except DataError as error:
                record = f"annotation {annotation['id']}"
                findings.append(Issue.of_part(content.file, record, error.reason, error.field))
        yield from findings
        if not parts:
            raise DataError("none of its annotations can be used")
        targets: list[Target] = []
        told: list[dict[str, Any]] = []
        for part in parts:
            category = part.seen.labels[0]
            texts = self._texts(category)
            targets += [Target(text, (part.seen.id,)) for text in texts]
            told.append(
                {"text_alternatives": texts, "object_ids": [part.seen.id], "category": category}
            )
        sample = Sample(
            sample_id=f"{self.name}/{split}/{number}",
            task=Task.SEMANTIC_SEGMENTATION,
            dataset=self.name,
            split=split,
            image=image_ref,
            objects=tuple(part.trained for part in parts),
            targets=tuple(targets),
        )
        objects = [
            shown_object(part.seen, {"bbox_source": "file", "labels": list(part.seen.labels)})
            for part in parts
        ]
        yield Record(
            Location(content.file, f"image {number}"),
            (sample,),
            remarks={"objects": objects, "targets": told},
        )

    def _texts(self, category: str) -> list[str]:
        """Words for a category: mug:handle is "mug handle" and "the handle of the mug"."""
        thing, _, part = category.partition(":")
        thing, part = self.plain(thing), self.plain(part)
        return [f"{thing} {part}", f"the {part} of the {thing}"] if part else [thing]


def _read_part(
    annotation: json_fields.Json, content: CocoFile, image_ref: ImageRef, findings: list[Issue]
) -> _Part:
    number = json_fields.integer(annotation["id"], "id")
    category = annotation.get("category_id")
    if not isinstance(category, int | str) or category not in content.categories:
        raise DataError(f"{str(category)[:80]} is not among the categories", field="category_id")
    covers = parse_segmentation(
        annotation.get("segmentation"),
        "segmentation",
        size=image_ref.size,
        report=lambda reason: findings.append(
            Issue.of_part(content.file, f"annotation {number}", reason, "segmentation")
        ),
    )
    if not covers.area:
        raise DataError("has no pixels", field="segmentation")
    file_box = json_fields.xywh(annotation.get("bbox"), "bbox")
    box = usable_box(file_box, covers.mask, size=image_ref.size)
    if box is None:
        raise DataError("has no pixels", field="bbox")
    is_crowd = bool(annotation.get("iscrowd"))
    seen = Obj(number, file_box, covers.mask, (content.categories[category],), is_crowd=is_crowd)
    return _Part(seen, Obj(number, box, covers.mask, seen.labels, is_crowd=is_crowd))
