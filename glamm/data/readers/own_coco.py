"""Your own images in COCO's form: instances with categories, captions, or both.

Files are COCO's own (`annotations/instances_<split>.json`, `annotations/captions_<split>.json`; COCO 2017 itself has this
form), or exports of tools as they come; `glamm.data.parsing.coco_exports` finds them. Files without a split in their name
are for training.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from glamm.data.parsing import coco_exports, json_fields
from glamm.data.parsing.coco_exports import AnnotationFile, Content
from glamm.data.parsing.coco_json import CocoFile, CocoImage, CocoInstance, Key, read_coco
from glamm.data.parsing.coco_segmentation import parse_segmentation, usable_box
from glamm.data.parsing.coco_tools import as_label_studio_means, frame_of, scaled
from glamm.data.parsing.dataset_paths import relative, resolve_image
from glamm.data.parsing.image_refs import refer_to
from glamm.data.parsing.image_search import ImageSearch
from glamm.data.parsing.layout import field_path, parse
from glamm.data.readers.captions import CaptionsRecord, caption_samples, captions_of
from glamm.data.readers.labeled_shapes import class_targets
from glamm.data.record import Record, read_record
from glamm.errors import DataError
from glamm.structures.issue import Issue, IssueKind, IssueLog, Location
from glamm.structures.sample import Frame, ImageRef, Obj, Sample, Task


@dataclass(frozen=True, slots=True, eq=False)
class _Source:
    """An annotation file that was read.

    Args:
        file: Where it lies.
        content: What it holds.
        frame: The pixels on which its annotations are drawn.
        search: Finds images whose names lead nowhere.
        found_elsewhere: Names whose images the search found in another place, with these places.
    """

    file: AnnotationFile
    content: CocoFile
    frame: Frame
    search: ImageSearch
    found_elsewhere: list[tuple[str, Path]] = field(default_factory=list)

    def find_image(self, image_id: Key) -> ImageRef:
        """Find one of the images of the file.

        Raises:
            DataError: Its entry is invalid, or no image or several ones are meant.
        """
        image = parse(CocoImage, self.content.images[image_id])
        try:
            path = resolve_image(self.file.root, self.file.image_folders, image.file_name)
        except DataError:
            path = self.search.find(image.file_name)
            if path is None:
                raise
            if path.resolve() != Path(image.file_name):
                self.found_elsewhere.append((image.file_name, path))
        return refer_to(path, size=image.size, frame=self.frame)

    def has_image_of(self, other: "_Source", image_id: Key) -> bool:
        """Whether an id means the same image here as in another file."""
        here, there = (source.content.images.get(image_id, {}) for source in (self, other))
        return bool(here) and here.get("file_name") == there.get("file_name")


class OwnCocoReader:
    """Reads instances and captions of one's own images.

    Tools that run in a browser draw on the image as EXIF turns it. The annotations of all other tools are drawn on the
    stored image, unless only the turned one has the stated size.
    """

    name = "coco"
    splits = ("train", "val", "test")
    frame = Frame.BY_SIZE
    looked_for = coco_exports.LOOKED_FOR

    def exists_in(self, root: Path) -> bool:
        """Whether instances or captions of a split are below a folder."""
        return bool(coco_exports.find_annotation_files(root))

    def read(self, root: Path, split: str) -> Iterator[Record | Issue]:
        """Yield one record per image: one target per category, meaning all its instances, and every caption."""
        files = coco_exports.choose_files(coco_exports.find_annotation_files(root), split)
        for unread, instead in files.unread:
            reason = f"is not read, but {instead.file}: both are for {split}"
            yield Issue.of_assumption(unread.file, "all", reason)
        sources = [_open(file) for file in files.chosen]
        for source in sources:
            if source.file.is_unusual:
                reason = "names no split and is read as train"
                yield Issue.of_assumption(source.file.file, "all", reason)
            if not source.content.images:
                yield Issue.of_part(source.file.file, "all", "lists no images", "images")
            yield from source.content.issues
        captions = [source for source in sources if _holds_captions(source)]
        instances = [source for source in sources if source not in captions]
        has_repeated_ids = max(len(instances), len(captions)) > 1
        for source, captions_source, image_id in _images(instances, captions):
            subset = f"{source.file.subset}/" if has_repeated_ids else ""
            sample_id = f"{self.name}/{split}/{subset}{image_id}"
            read = partial(_read_image, source, captions_source, image_id, sample_id, split)
            yield from read_record(Location(source.content.file, f"image {image_id}"), read)
        for source in sources:
            yield from _places(source)


def _open(file: AnnotationFile) -> _Source:
    content = read_coco(file.root, file.path)
    values = (image.get("file_name", image.get("coco_url")) for image in content.images.values())
    names = [name for name in values if isinstance(name, str)]
    search = ImageSearch(file.root, names, skipped=file.folders_of_others)
    return _Source(file, content, frame_of(file.path, content), search)


def _holds_captions(source: _Source) -> bool:
    if source.file.content is not Content.UNNAMED:
        return source.file.content is Content.CAPTIONS
    annotations = [one for several in source.content.annotations.values() for one in several]
    return bool(annotations) and all(
        "caption" in one and "category_id" not in one for one in annotations
    )


def _images(
    instances: Sequence[_Source], captions: Sequence[_Source]
) -> Iterator[tuple[_Source, _Source | None, Key]]:
    """Each image once: the file that lists it, the one that holds its captions, and its id in both."""
    with_objects: set[tuple[int, Key]] = set()  # captions files by index
    for source in instances:
        for image_id in source.content.images:
            same = [i for i, one in enumerate(captions) if one.has_image_of(source, image_id)]
            with_objects |= {(index, image_id) for index in same[:1]}
            yield source, captions[same[0]] if same else None, image_id
    for index, source in enumerate(captions):
        for image_id in source.content.images:
            if (index, image_id) not in with_objects:
                yield source, source, image_id


def _read_image(
    source: _Source,
    captions_source: _Source | None,
    image_id: Key,
    sample_id: str,
    split: str,
    issues: IssueLog,
) -> Record:
    image_ref, scale = as_label_studio_means(source.find_image(image_id), source.content)
    if scale != (1.0, 1.0):
        reason = "is for the image as turned by EXIF; Label Studio wrote the size and the points of the stored one"
        issues.add(reason, kind=IssueKind.ASSUMPTION)
    objects: tuple[Obj, ...] = ()
    if source is not captions_source:
        objects = _objects(source.content, image_id, image_ref, scale, issues)
    texts = captions_of(captions_source.content, image_id, issues) if captions_source else ()
    samples = [
        replace(sample, objects=objects)
        for sample in caption_samples(
            texts, image_ref, sample_id=sample_id, dataset=OwnCocoReader.name, split=split
        )
    ]
    if objects:
        classes = Sample(
            sample_id=f"{sample_id}/classes",
            task=Task.SEMANTIC_SEGMENTATION,
            dataset=OwnCocoReader.name,
            split=split,
            image=image_ref,
            objects=objects,
            targets=class_targets(objects),
        )
        samples.insert(0, classes)
    if not samples:
        has_annotations = image_id in source.content.annotations
        raise DataError("none of its annotations can be used" if has_annotations else "no annotation")  # fmt: skip
    return Record(issues.location, tuple(samples), raw=CaptionsRecord(texts))


def _places(source: _Source) -> Iterator[Issue]:
    """Where images are whose names lead nowhere."""
    if source.found_elsewhere:
        name, path = source.found_elsewhere[0]
        reason = (
            f"{len(source.found_elsewhere)} image(s) are not where their names say and were found by the end of their "
            f"names; first: '{name}' is {relative(source.file.root, path)}"
        )
        yield Issue.of_assumption(source.file.file, "images", reason)


def _objects(
    instances: CocoFile,
    image_id: Key,
    image_ref: ImageRef,
    scale: tuple[float, float],
    issues: IssueLog,
) -> tuple[Obj, ...]:
    objects: list[Obj] = []
    for annotation in instances.annotations.get(image_id, []):
        try:
            objects.append(_object(scaled(annotation, scale), instances, image_ref, issues))
        except DataError as error:
            issues.add(error.reason, field_path(f"annotation {annotation['id']}", error.field))
    return tuple(objects)


def _object(
    annotation: json_fields.Json, instances: CocoFile, image_ref: ImageRef, issues: IssueLog
) -> Obj:
    instance = parse(CocoInstance, annotation)
    label = instances.category(instance.category_id)
    segmentation = parse_segmentation(
        instance.segmentation,
        "segmentation",
        size=image_ref.size,
        report=lambda reason: issues.add(reason, f"annotation {instance.id}.segmentation"),
    )
    box = usable_box(instance.bbox, segmentation.mask, size=image_ref.size)
    if box is None or not segmentation.area:
        reason = "has no pixels"
        if instance.bbox and not instance.segmentation:
            reason += ": only a box is given, and what is inside it cannot be told"
        raise DataError(reason, field="segmentation")
    return Obj(
        id=instance.id,
        box=box,
        mask=segmentation.mask,
        labels=(label,),
        is_crowd=instance.is_crowd,
    )
