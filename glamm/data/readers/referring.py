"""Referring expressions for objects of COCO's images: RefCOCO, RefCOCO+, RefCOCOg, gRefCOCO and RefCLEF.

Source: spec of referring segmentation (B.2.3); the `REFER` reader of the release.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, cast

from pydantic import AliasChoices, Field

from glamm.data.parsing.coco_json import CocoFile, CocoInstance, Key, read_coco
from glamm.data.parsing.coco_segmentation import Segmentation, parse_segmentation, usable_box
from glamm.data.parsing.dataset_paths import ensure_inside, find_file, relative
from glamm.data.parsing.json_fields import Json
from glamm.data.parsing.json_stream import read_json
from glamm.data.parsing.layout import Id, Integer, Items, Layout, OneOrMore, Text, parse
from glamm.data.parsing.safe_pickle import read_plain_pickle
from glamm.data.record import Record, read_record
from glamm.errors import DataError
from glamm.geometry import masks
from glamm.structures.issue import Issue, IssueKind, IssueLog, Location, Severity
from glamm.structures.sample import Frame, Obj, Sample, Target, Task
from glamm.typing import Box, Size

_NO_TARGET = (-1,)  # `ann_id` of an expression for something that is not in the image
_MAX_SHOWN = 5  # indices or ids in a message


class ReferenceHeader(Layout):
    """What assigns a reference to a split and to an image."""

    ref_id: Integer
    split: Text
    image_id: Id


class Reference(Layout):
    """Sentences that all mean the same objects. One `ann_id` may stand without a list."""

    ref_id: Integer
    ann_id: OneOrMore[Integer]
    sentences: Items[object] = ()

    @property
    def object_ids(self) -> tuple[int, ...]:
        """The annotations that are meant, each once; none where the image has no such object."""
        return () if self.ann_id == _NO_TARGET else tuple(dict.fromkeys(self.ann_id))


class Sentence(Layout):
    """A referring expression; `raw` is the same with capitals and punctuation."""

    sent: Annotated[Text, Field(validation_alias=AliasChoices("sent", "raw"))]
    sent_id: Integer | None = None


@dataclass(frozen=True, slots=True)
class Expression:
    """A sentence with the objects that it means; none where the image has no such object."""

    text: str
    object_ids: tuple[int, ...]
    ref_id: int
    sent_id: int | None


@dataclass(frozen=True, slots=True)
class ReferredObject:
    """An annotation as the file has it.

    Args:
        id: Of the annotation.
        box: x1, y1, x2, y2 in pixels; it may reach outside the image. That of the mask where the file has none.
        segmentation: Its pixels; there may be none.
        is_crowd: Whether it covers a crowd of objects.
    """

    id: int
    box: Box
    segmentation: Segmentation
    is_crowd: bool

    def to_train(self, size: Size) -> Obj | None:
        """The object with its box inside an image of (height, width), or None without pixels."""
        mask = self.segmentation.mask
        box = usable_box(self.box, mask, size=size)
        if box is None or not self.segmentation.area:
            return None
        return Obj(id=self.id, box=box, mask=mask, is_crowd=self.is_crowd)


@dataclass(frozen=True, slots=True)
class ReferringRecord:
    """All that a data set says about one image.

    Args:
        objects: Those that an expression means, in file order.
        expressions: In file order.
    """

    objects: tuple[ReferredObject, ...]
    expressions: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class _References:
    """The references of a split.

    Args:
        file: Relative to the root.
        of_image: By image id, in file order; their headers are valid.
        issues: What is no reference, or shares its id with another one.
    """

    file: str
    of_image: dict[Key, list[Json]]
    issues: IssueLog


@dataclass(frozen=True, slots=True)
class ReferringReader:
    """Reads a data set of referring expressions in `Refer_Segm/NAME`.

    Args:
        name: Name of the data set and of its folder.
        refs: Names that the file of expressions may have; `.p` is a pickle.
        splits: Names of its splits; the first one reports what belongs to no split.
        images: Relative folders that may hold the images, in the order in which they are tried.

    Upstream: the release adds the masks of an object's parts; here they are united.
    """

    name: str
    refs: tuple[str, ...]
    splits: tuple[str, ...]
    images: tuple[str, ...] = ("coco_2014/train2014", "Refer_Segm/coco_2014/train2014")

    frame = Frame.BY_SIZE

    @property
    def looked_for(self) -> tuple[str, ...]:
        """What makes the data set exist in a folder."""
        return (f"Refer_Segm/{self.name}/instances.json", " or ".join(self.refs))

    def exists_in(self, root: Path) -> bool:
        """Whether annotations and expressions are both below a folder."""
        return all(self._paths(root))

    def read(self, root: Path, split: str) -> Iterator[Record | Issue]:
        """Yield one record per image with all its expressions."""
        instances, refs = self._paths(root)
        if instances is None or refs is None or split not in self.splits:
            return
        content = read_coco(root, instances)
        references = _read_references(root, refs, content, split, self.splits)
        is_first = split == self.splits[0]
        yield from content.issues if is_first else ()
        for issue in references.issues:
            # entries that are no references belong to no split: only the first split reports them
            if is_first or issue.severity is Severity.PART:
                yield issue
        for image_id in content.images:
            if image_id in references.of_image:
                read = partial(self._read_image, root, split, content, references, image_id)
                yield from read_record(Location(content.file, f"image {image_id}"), read)

    def _paths(self, root: Path) -> tuple[Path | None, Path | None]:
        folder = f"Refer_Segm/{self.name}"
        refs = find_file(root, [f"{folder}/{name}" for name in self.refs])
        return find_file(root, [f"{folder}/instances.json"]), refs

    def _read_image(
        self,
        root: Path,
        split: str,
        content: CocoFile,
        references: _References,
        image_id: Key,
        issues: IssueLog,
    ) -> Record:
        image_ref = content.find_image(root, self.images, image_id, frame=self.frame)
        raw = _read_expressions(content, references, image_id, image_ref.size, issues)
        if not raw.expressions:
            raise DataError("none of its expressions can be read")
        objects = {obj.id: obj for item in raw.objects if (obj := item.to_train(image_ref.size))}
        sample = Sample(
            sample_id=f"{self.name}/{split}/{image_id}",
            task=Task.REFERRING_SEGMENTATION,
            dataset=self.name,
            split=split,
            image=image_ref,
            objects=tuple(objects.values()),
            targets=tuple(
                Target(text, expression.object_ids)
                for expression in raw.expressions
                if (text := expression.text.strip())
                and set(expression.object_ids) <= objects.keys()
            ),
        )
        return Record(issues.location, (sample,), raw=raw)


def _split_of_name(name: str, splits: Sequence[str]) -> str:
    """The split that a name means, whatever its capitals; the name itself where that is none of them."""
    plain = name.strip()
    return next((split for split in splits if split.casefold() == plain.casefold()), plain)


def _report_unknown_splits(
    num_references: Mapping[str, int], splits: Sequence[str], issues: IssueLog
) -> None:
    """An issue for each split of the file that is not read."""
    all_splits = ", ".join(f"{name[:80]} ({count})" for name, count in num_references.items())
    for name, count in num_references.items():
        if name not in splits:
            reason = (
                f"{count} references belong to the split '{name[:80]}', which is not read; read are "
                f"{', '.join(splits)}. The file has {all_splits}."
            )
            issues.add(reason, "split", record="refs", severity=Severity.RECORD)


def _read_references(
    root: Path, path: Path, content: CocoFile, split: str, splits: Sequence[str]
) -> _References:
    """Sort the references of a split by image."""
    file = relative(root, ensure_inside(root, path))
    value = read_plain_pickle(path) if path.suffix == ".p" else read_json(path)
    if not isinstance(value, list):
        raise DataError("must be a list of references", file=file)
    entries = cast("list[Any]", value)
    issues = IssueLog(file)
    headers: dict[int, list[tuple[int, ReferenceHeader]]] = defaultdict(list)
    num_references = Counter[str]()
    for index, entry in enumerate(entries):
        try:
            header = parse(ReferenceHeader, entry)
        except DataError as error:
            issues.add(error.reason, error.field, record=f"refs[{index}]", severity=Severity.RECORD)
            continue
        header = header.model_copy(update={"split": _split_of_name(header.split, splits)})
        headers[header.ref_id].append((index, header))
        num_references[header.split] += 1
    _report_unknown_splits(num_references, splits, issues)
    of_image: dict[Key, list[Json]] = defaultdict(list)
    for ref_id, repeated in headers.items():
        index, header = repeated[0]
        if header.split != split:
            continue
        paths = ", ".join(f"refs[{index}]" for index, _ in repeated[:_MAX_SHOWN])
        if any(entries[other] != entries[index] for other, _ in repeated):
            reason = f"{len(repeated)} references have this id ({paths}): none of them is read"
            issues.add(reason, "ref_id", record=f"ref {ref_id}")
            continue
        if len(repeated) > 1:
            reason = f"{len(repeated)} references are the same ({paths}): one of them is read"
            issues.add(reason, record=f"ref {ref_id}", kind=IssueKind.ASSUMPTION)
        if header.image_id not in content.images:
            image_id = str(header.image_id)[:80]
            reason = f"image_id {image_id} is not among the images of {content.file}"
            issues.add(reason, "image_id", record=f"ref {ref_id}")
        else:
            of_image[header.image_id].append(entries[index])
    return _References(file, dict(of_image), issues)


def _read_expressions(
    content: CocoFile, references: _References, image_id: Key, size: Size, issues: IssueLog
) -> ReferringRecord:
    """Read the references of an image and the annotations that they mean."""
    parsed: list[Reference] = []
    for entry in references.of_image[image_id]:
        try:
            parsed.append(parse(Reference, entry))
        except DataError as error:
            record = f"ref {entry['ref_id']}"
            issues.add(error.reason, error.field, file=references.file, record=record)
    wanted = {object_id for reference in parsed for object_id in reference.object_ids}
    objects: dict[int, ReferredObject] = {}
    for annotation in content.annotations.get(image_id, []):
        if annotation["id"] in wanted:
            try:
                objects[annotation["id"]] = _read_object(annotation, size, issues)
            except DataError as error:
                issues.add(error.reason, error.field, record=f"annotation {annotation['id']}")
    expressions = [
        expression
        for reference in parsed
        for expression in _expressions(reference, objects, references.file, issues)
    ]
    used = {object_id for expression in expressions for object_id in expression.object_ids}
    return ReferringRecord(
        tuple(obj for obj in objects.values() if obj.id in used), tuple(expressions)
    )


def _read_object(annotation: Json, size: Size, issues: IssueLog) -> ReferredObject:
    instance = parse(CocoInstance, annotation)
    record = f"annotation {instance.id}"
    segmentation = parse_segmentation(
        instance.segmentation,
        "segmentation",
        size=size,
        report=lambda reason: issues.add(reason, "segmentation", record=record),
    )
    if not segmentation.area:
        reason = "has no pixels: expressions that mean it are not trained"
        issues.add(reason, "segmentation", record=record)
    box = instance.bbox or masks.box_of(segmentation.mask)
    if box is None:
        raise DataError("is missing", field="bbox")
    return ReferredObject(instance.id, box, segmentation, instance.is_crowd)


def _expressions(
    reference: Reference, objects: dict[int, ReferredObject], file: str, issues: IssueLog
) -> Iterator[Expression]:
    """The sentences of a reference; none where one of its objects cannot be read."""
    record = f"ref {reference.ref_id}"
    if not reference.sentences:
        issues.add("holds no expression", "sentences", file=file, record=record)
    missing = [object_id for object_id in reference.object_ids if object_id not in objects]
    if missing:
        reason = f"annotations {missing[:_MAX_SHOWN]} are not in the image, or cannot be read"
        issues.add(reason, "ann_id", file=file, record=record)
        return
    for index, entry in enumerate(reference.sentences):
        try:
            as_object = {"sent": entry} if isinstance(entry, str) else entry
            sentence = parse(Sentence, as_object, f"sentences[{index}]")
        except DataError as error:
            issues.add(error.reason, error.field, file=file, record=record)
            continue
        if not sentence.sent.strip():
            issues.add("is empty", f"sentences[{index}].sent", file=file, record=record)
        yield Expression(sentence.sent, reference.object_ids, reference.ref_id, sentence.sent_id)
