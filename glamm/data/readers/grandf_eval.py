"""GranD-f's evaluation files: captions with labels in one, masks in the other, tied by their order.

Source: spec of GranD-f evaluation; the release's `eval/gcg`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from glamm.data.parsing import json_fields
from glamm.data.parsing.dataset_paths import ensure_inside, find_file, resolve_image
from glamm.data.parsing.json_stream import read_json
from glamm.data.parsing.phrase_spans import Range, locate, merge_spans
from glamm.data.record import Record
from glamm.errors import DataError
from glamm.geometry import masks
from glamm.geometry.image_files import read_header
from glamm.structures.issue import Issue, Location
from glamm.structures.sample import ImageRef, Obj, Sample, Span, SpanKind, Task, Turn

NAME = "granddf_val_test"
SPLITS = ("val", "test")

_IMAGES = ("GranDf_HA_images/val_test", "GranDf/GranDf_HA_images/val_test")


def _files(split: str) -> tuple[str, str]:
    folder = "GranDf/annotations/val_test"
    return f"{folder}/{split}_gcg_coco_caption_gt.json", f"{folder}/{split}_gcg_coco_mask_gt.json"


def exists_in(root: Path) -> bool:
    """Whether the data set is below a folder."""
    return any(find_file(root, _files(split)) for split in SPLITS)


def read(root: Path, split: str) -> Iterator[Record | Issue]:
    """Yield ground truth as grounded captions: the i-th label of an image belongs to its i-th mask."""
    names = _files(split)
    if split not in SPLITS or not find_file(root, names):
        return
    for name in names:
        if not (root / name).is_file():
            raise DataError(
                f"is missing below {root}: captions and masks come as a pair", file=name
            )
        ensure_inside(root, root / name)
    captions, mask_file = (_whole(root / name) for name in names)
    images = {
        _id(image, "id"): image for image in map(_as_mapping, json_fields.items(captions, "images"))
    }
    annotations: dict[Any, list[Any]] = {}
    for annotation in json_fields.items(mask_file, "annotations"):
        annotations.setdefault(_id(annotation, "image_id"), []).append(annotation)
    for index, entry in enumerate(json_fields.items(captions, "annotations")):
        place = f"{split}:{_as_mapping(entry).get('image_id', index)}"
        try:
            record = json_fields.mapping(entry, "annotation")
            image_id = json_fields.key(record.get("image_id"), "image_id")
            image = json_fields.mapping(images.get(image_id), "image_id: the image in 'images'")
            found = annotations.get(image_id, [])
            yield from _read_entry(root, names[0], place, record, image, found)
        except DataError as error:
            yield Issue.of_record(names[0], place, error.reason, error.field)


def _whole(path: Path) -> json_fields.Json:
    value = read_json(path)
    if not isinstance(value, dict):
        raise DataError("must be an object with 'images' and 'annotations'", file=path)
    return value


def _id(value: object, field: str) -> int | str | None:
    found = _as_mapping(value).get(field)
    return found if isinstance(found, int | str) else None


def _as_mapping(value: object) -> json_fields.Json:
    return value if isinstance(value, dict) else {}


def _read_entry(
    root: Path,
    file: str,
    place: str,
    record: json_fields.Json,
    image: json_fields.Json,
    found: list[Any],
) -> Iterator[Record | Issue]:
    split = place.partition(":")[0]
    caption = json_fields.text(record, "caption")
    labels = [
        json_fields.text({"labels": label}, "labels")
        for label in json_fields.items(record, "labels")
    ]
    if len(labels) != len(found):
        raise DataError(
            f"{len(labels)} labels and {len(found)} masks: there must be one each", field="labels"
        )
    if not labels:
        raise DataError("no grounding", field="labels")
    image_path = resolve_image(root, _IMAGES, json_fields.text(image, "file_name"))
    size = json_fields.size(image.get("height"), image.get("width"), "images.height, width")
    try:
        header = read_header(image_path)
    except ValueError as error:
        raise DataError(str(error), field="file_name") from error
    if not header.has_frame(size):
        raise DataError(
            f"says {size}, the image is {header.size} (height, width)",
            field="images.height, width",
        )
    objects = tuple(_object(json_fields.mapping(annotation, "annotation")) for annotation in found)
    spans: list[Span] = []
    taken: list[Range] = []
    for label, obj in zip(labels, objects, strict=True):
        where = locate(caption, label, taken=taken)
        if where is None:
            reason = f"'{label}' is not in the caption"
            yield Issue.of_part(file, place, reason, "labels")
            continue
        taken.append(where)
        spans.append(Span(*where, SpanKind.SEG, (obj.id,)))
    kept, gone = merge_spans(spans)
    for span in gone:
        reason = f"'{caption[span.start : span.end]}' overlaps a longer phrase"
        yield Issue.of_part(file, place, reason, "labels")
    sample = Sample(
        sample_id=f"{NAME}/{split}/{place.partition(':')[2]}",
        task=Task.GROUNDED_CONVERSATION,
        dataset=NAME,
        split=split,
        image=ImageRef(key=image_path.name, size=size, path=str(image_path)),
        objects=objects,
        turns=(Turn("user", None), Turn("assistant", caption, kept)),
    )
    shown = [
        {
            "start": s.start,
            "end": s.end,
            "phrase": caption[s.start : s.end],
            "object_ids": list(s.object_ids),
        }
        for s in spans
    ]
    yield Record(
        Location(file, place),
        (sample,),
        remarks={"text": caption, "spans": shown, "labels": labels},
    )


def _object(annotation: json_fields.Json) -> Obj:
    number = json_fields.integer(annotation.get("id"), "annotations.id")
    mask = json_fields.rle(annotation.get("segmentation"), f"annotation {number}.segmentation")
    box = masks.box_of(mask)
    if box is None:
        raise DataError("is empty", field=f"annotation {number}.segmentation")
    return Obj(id=number, box=box, mask=mask, is_crowd=bool(annotation.get("iscrowd", 0)))
