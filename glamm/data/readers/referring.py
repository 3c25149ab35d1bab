"""Expressions for objects of COCO's images: RefCOCO and its kin.

Source: spec of referring segmentation (B.2.3); the `REFER` reader of the release.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

from glamm.data.inspection.shown import shown_object
from glamm.data.parsing import json_fields
from glamm.data.parsing.coco_json import CocoFile, Key, read_coco, read_images
from glamm.data.parsing.coco_segmentation import Segmentation, parse_segmentation, usable_box
from glamm.data.parsing.dataset_paths import ensure_inside, find_file, relative
from glamm.data.parsing.image_refs import find_image, stated_size
from glamm.data.parsing.json_stream import read_json
from glamm.data.parsing.safe_pickle import read_plain_pickle
from glamm.data.record import Record
from glamm.errors import DataError
from glamm.structures.issue import Issue, Location, Severity
from glamm.structures.sample import ImageRef, Obj, Sample, Target, Task
from glamm.typing import Size

_NOTHING = [-1]  # an expression for something that is not in the image


@dataclass(frozen=True, slots=True)
class _Expression:
    """A sentence with the objects that it means; none where there is no such thing."""

    text: str
    ids: tuple[int, ...]
    ref_id: int
    sent_id: int

    def shown(self) -> dict[str, Any]:
        return {
            "text": self.text,
            "object_ids": list(self.ids),
            "ref_id": self.ref_id,
            "sent_id": self.sent_id,
        }


@dataclass(frozen=True, slots=True)
class _Object:
    """An annotation as the file has it; `box` is what can be trained, None without pixels."""

    annotation: json_fields.Json
    covers: Segmentation

    def shown(self) -> dict[str, Any]:
        number = self.annotation["id"]
        box = json_fields.xywh(self.annotation.get("bbox"), f"annotation {number}.bbox")
        remarks = {"bbox_source": "file", "sum_of_parts": self.covers.sum_of_parts()}
        return shown_object(Obj(id=number, box=box, mask=self.covers.mask), remarks)

    def trained(self, size: Size) -> Obj | None:
        if not self.covers.area:
            return None
        file_box = json_fields.xywh(self.annotation.get("bbox"), "bbox")
        box = usable_box(file_box, self.covers.mask, size=size)
        is_crowd = bool(self.annotation.get("iscrowd"))
        return box and Obj(
            id=self.annotation["id"], box=box, mask=self.covers.mask, is_crowd=is_crowd
        )


@dataclass(frozen=True, slots=True)
class Referring:
    """Where a data set of expressions is.

    Args:
        name: Of the data set and of its folder.
        refs: File of expressions; a `.p` is a pickle.
        splits: Which it has.
        images: Folders that images may be in.
    """

    name: str
    refs: tuple[str, ...]
    splits: tuple[str, ...]
    images: tuple[str, ...] = ("coco_2014/train2014", "Refer_Segm/coco_2014/train2014")

    @property
    def folder(self) -> str:
        """Relative folder of the data set."""
        return f"Refer_Segm/{self.name}"

    def _paths(self, root: Path) -> tuple[Path | None, Path | None]:
        names = [f"{self.folder}/{name}" for name in self.refs]
        return find_file(root, [f"{self.folder}/instances.json"]), find_file(root, names)

    def is_in(self, root: Path) -> bool:
        """Whether the data set is below a folder."""
        return all(self._paths(root))

    def read(self, root: Path, split: str) -> Iterator[Record | Issue]:
        """Yield a record an image with all its expressions.

        Upstream: parts of an object are added up; here they are united.
        """
        instances, refs = self._paths(root)
        if instances is None or refs is None or split not in self.splits:
            return
        content = read_coco(root, instances)
        findings: list[Issue] = []
        by_image = _by_image(root, refs, content, split, findings)
        is_first = split == self.splits[0]
        yield from content.findings if is_first else ()
        # records that are no references belong to no split: they are reported once
        yield from (one for one in findings if is_first or one.severity is Severity.PART)
        read = partial(self._read_image, root, split, content, by_image)
        yield from read_images(content, read)

    def _read_image(
        self,
        root: Path,
        split: str,
        content: CocoFile,
        by_image: dict[Key, list[tuple[str, json_fields.Json]]],
        number: Key,
    ) -> Iterator[Record | Issue]:
        refs = by_image.get(number)
        if not refs:
            return
        image = content.images[number]
        image_ref = find_image(
            root, self.images, json_fields.text(image, "file_name"), size=stated_size(image)
        )
        findings: list[Issue] = []
        known, expressions = _objects_and_expressions(content, number, image_ref, refs, findings)
        yield from findings
        used = {one for expression in expressions for one in expression.ids}
        known = {one: thing for one, thing in known.items() if one in used}
        trained = {
            one: obj for one, thing in known.items() if (obj := thing.trained(image_ref.size))
        }
        targets = [
            Target(expression.text.strip(), expression.ids)
            for expression in expressions
            if set(expression.ids) <= trained.keys() and expression.text.strip()
        ]
        if not expressions:
            raise DataError("none of its expressions can be read")
        sample = Sample(
            sample_id=f"{self.name}/{split}/{number}",
            task=Task.REFERRING_SEGMENTATION,
            dataset=self.name,
            split=split,
            image=image_ref,
            objects=tuple(trained.values()),
            targets=tuple(targets),
        )
        told = {
            "objects": [thing.shown() for thing in known.values()],
            "targets": [expression.shown() for expression in expressions],
        }
        yield Record(Location(content.file, f"image {number}"), (sample,), remarks=told)


def _by_image(
    root: Path, path: Path, content: CocoFile, split: str, findings: list[Issue]
) -> dict[Key, list[tuple[str, json_fields.Json]]]:
    """References of a split by image; those that are no references or share an id are findings."""
    file = relative(root, ensure_inside(root, path))
    value = read_plain_pickle(path) if path.suffix == ".p" else read_json(path)
    if not isinstance(value, list):
        raise DataError("must be a list of references", file=file)
    places: dict[object, list[int]] = defaultdict(list)
    entries = cast("list[Any]", value)
    for index, entry in enumerate(entries):
        try:
            record = json_fields.mapping(entry, f"refs[{index}]")
            number = json_fields.integer(record.get("ref_id"), "ref_id")
            json_fields.text(record, "split")
        except DataError as error:
            findings.append(Issue.of_record(file, f"refs[{index}]", error.reason, error.field))
            continue
        places[number].append(index)
    by_image: dict[Key, list[tuple[str, json_fields.Json]]] = defaultdict(list)
    for number, found in places.items():
        if entries[found[0]]["split"] != split:
            continue
        image_id = entries[found[0]].get("image_id")
        if len(found) > 1:
            where = ", ".join(f"refs[{index}]" for index in found[:5])
            reason = (
                f"{len(found)} references have this id ({where}): none of them can be told apart"
            )
        elif not isinstance(image_id, int | str) or image_id not in content.images:
            reason = f"image_id {str(image_id)[:80]} is not among the images of {content.file}"
        else:
            by_image[image_id].append((file, entries[found[0]]))
            continue
        findings.append(Issue.of_part(file, f"ref {number}", reason, "ref_id"))
    return by_image


def _objects_and_expressions(
    content: CocoFile,
    number: Key,
    image_ref: ImageRef,
    refs: list[tuple[str, json_fields.Json]],
    findings: list[Issue],
) -> tuple[dict[int, _Object], list[_Expression]]:
    wanted = {one for _, ref in refs for one in _loose_ids(ref.get("ann_id"))}
    known: dict[int, _Object] = {}
    for annotation in content.annotations.get(number, []):
        one = annotation["id"]
        if one not in wanted:
            continue
        record = f"annotation {one}"
        try:
            thing = _read_object(annotation, image_ref.size, content.file, findings)
        except DataError as error:
            findings.append(Issue.of_part(content.file, record, error.reason, error.field))
            continue
        known[one] = thing
        if not thing.covers.area:
            reason = "has no pixels: what means it is not trained"
            findings.append(Issue.of_part(content.file, record, reason, "segmentation"))
    expressions: list[_Expression] = []
    for file, ref in refs:
        try:
            expressions += _expressions(file, ref, known, findings)
        except DataError as error:
            record = f"ref {ref['ref_id']}"
            findings.append(Issue.of_part(file, record, error.reason, error.field))
    return known, expressions


def _read_object(
    annotation: json_fields.Json, size: Size, file: str, findings: list[Issue]
) -> _Object:
    number = json_fields.integer(annotation["id"], "id")
    json_fields.xywh(annotation.get("bbox"), "bbox")
    covers = parse_segmentation(
        annotation.get("segmentation"),
        "segmentation",
        size=size,
        report=lambda reason: findings.append(
            Issue.of_part(file, f"annotation {number}", reason, "segmentation")
        ),
    )
    return _Object(annotation, covers)


def _loose_ids(value: object) -> list[object]:
    listed: list[object] = value if isinstance(value, list) else [value]
    return [one for one in listed if isinstance(one, int)]


def _expressions(
    file: str, ref: json_fields.Json, known: dict[int, _Object], findings: list[Issue]
) -> Iterator[_Expression]:
    value = ref.get("ann_id")
    listed = cast("list[Any]", value) if isinstance(value, list) else [value]
    ids = [json_fields.integer(one, "ann_id") for one in listed]
    ids = [] if ids == _NOTHING else list(dict.fromkeys(ids))
    missing = [one for one in ids if one not in known]
    if missing:
        raise DataError(
            f"annotations {missing[:5]} are not in the image, or none can be told apart",
            field="ann_id",
        )
    for index, entry in enumerate(json_fields.items(ref, "sentences")):
        where = f"sentences[{index}]"
        try:
            sentence = json_fields.mapping(entry, where)
            text = json_fields.text(sentence, "sent")
            sent_id = json_fields.integer(sentence.get("sent_id"), "sent_id")
        except DataError as error:
            field = f"{where}.{error.field}"
            record = f"ref {ref['ref_id']}"
            findings.append(Issue.of_part(file, record, error.reason, field))
            continue
        yield _Expression(text, tuple(ids), ref["ref_id"], sent_id)
