"""What `glamm data read --json` writes about a data set, for comparison by a person or a test.

A reader gives samples and, as `Record.raw`, the typed record of the layout that it made them from. Each family of
layouts has a module here with a function that writes such a record; `_WRITERS` chooses it by the type of `raw`.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from glamm.data.inspection.as_read.captions import captions_json, conversation_json
from glamm.data.inspection.as_read.flickr30k import flickr30k_json
from glamm.data.inspection.as_read.grand import grand_json
from glamm.data.inspection.as_read.grandf import (
    labelled_caption_json,
    masked_caption_json,
    refcocog_caption_json,
)
from glamm.data.inspection.as_read.record_names import RecordNames
from glamm.data.inspection.as_read.referring import referring_json
from glamm.data.inspection.as_read.regions import regions_json
from glamm.data.inspection.as_read.samples import samples_json
from glamm.data.inspection.as_read.segmentation import (
    label_map_json,
    object_parts_json,
    shapes_json,
)
from glamm.data.preparation.check import CheckedRecord
from glamm.data.readers.captions import CaptionsRecord
from glamm.data.readers.flickr30k import FlickrCaption
from glamm.data.readers.grand import GrandRecord
from glamm.data.readers.grandf_eval import LabelledCaption
from glamm.data.readers.grandf_refcocog import RefcocogCaption
from glamm.data.readers.grandf_train import MaskedCaption
from glamm.data.readers.labeled_shapes import ShapesRecord
from glamm.data.readers.llava import LlavaRecord
from glamm.data.readers.object_parts import ObjectPartsRecord
from glamm.data.readers.referring import ReferringRecord
from glamm.data.readers.region_captions import RegionsRecord
from glamm.data.readers.registry import Reader
from glamm.data.readers.semantic_png import LabelMap
from glamm.data.record import Record
from glamm.geometry import masks
from glamm.geometry.image_files import decode, header_of
from glamm.structures.issue import Issue, Location, Severity
from glamm.structures.sample import Mask

_WRITERS: dict[type, Callable[[Any, Record], dict[str, Any]]] = {
    CaptionsRecord: captions_json,
    LabelMap: label_map_json,
    LlavaRecord: conversation_json,
    FlickrCaption: flickr30k_json,
    GrandRecord: grand_json,
    LabelledCaption: labelled_caption_json,
    RefcocogCaption: refcocog_caption_json,
    MaskedCaption: masked_caption_json,
    ObjectPartsRecord: object_parts_json,
    ReferringRecord: referring_json,
    RegionsRecord: regions_json,
    ShapesRecord: shapes_json,
}
"""Functions by the type of `Record.raw`; they get it and the checked record. Where there is none, `samples_json` does."""


def describe(
    reader: Reader, root: Path, results: Iterable[CheckedRecord | Issue]
) -> dict[str, Any]:
    """Everything that was read of a data set.

    Args:
        reader: Of the data set.
        root: Its folder; files are named relative to it.
        results: What `read_checked` yields.

    Returns:
        `samples` (one entry per record), `dropped` (records left out) and `findings` (parts left out).
    """
    items = list(results)
    names = RecordNames(reader.name, map(_location, items))
    samples: list[dict[str, Any]] = []
    dropped: list[dict[str, Any]] = []
    findings: list[dict[str, Any]] = []
    for item in items:
        if isinstance(item, CheckedRecord):
            samples.append(_record(root, item, names.of_record(item.record.location)))
            continue
        field = item.location.field
        entry = {"record": names.of_issue(item), "field": field, "reason": item.reason}
        (findings if item.severity is Severity.PART else dropped).append(entry)
    files = list(dict.fromkeys(_annotation_files(samples, dropped)))
    task = samples[0]["task"] if samples else None
    return {
        "dataset": reader.name,
        "task": task,
        "annotation_files": files,
        "samples": samples,
        "dropped": dropped,
        "findings": findings,
    }


def _location(item: CheckedRecord | Issue) -> Location:
    return item.record.location if isinstance(item, CheckedRecord) else item.location


def _annotation_files(*groups: list[dict[str, Any]]) -> Iterable[str]:
    for group in groups:
        for entry in group:
            yield entry.pop("annotation_file", entry["record"].partition("#")[0])


def _record(root: Path, checked: CheckedRecord, name: str) -> dict[str, Any]:
    record = checked.record
    first = record.samples[0]
    result = {
        "record": name,
        "annotation_file": record.location.file,
        "split": first.split,
        "task": first.task.value,
        "image": _image(root, checked),
    }
    write = _WRITERS.get(type(record.raw))
    return result | (write(record.raw, record) if write else samples_json(record))


def _image(root: Path, checked: CheckedRecord) -> dict[str, Any]:
    image = checked.record.samples[0].image
    path = Path(image.path or "")
    header = header_of(checked.image_bytes, suffix=Path(image.key).suffix.lower())
    height, width = image.size
    result: dict[str, Any] = {
        "file": path.relative_to(root).as_posix(),
        "width": width,
        "height": height,
    }
    if header.orientation != 1:
        result["exif_orientation"] = header.orientation
        is_turned = header.is_turned(image.size, image.frame)
        result["annotation_frame"] = "turned" if is_turned else "stored"
        result["stored_width_height"] = [header.size[1], header.size[0]]
    if header.pixel_format:
        result["pixel_format"] = header.pixel_format
    pixels = decode(checked.image_bytes, size=image.size, frame=image.frame)
    objects = checked.record.samples[0].objects
    result["probes_x_y_r_g_b"] = [_probe(pixels, obj.mask) for obj in objects if obj.mask]
    return result


def _probe(pixels: np.ndarray, mask: Mask) -> list[int]:
    """The pixel in the middle of the list of a mask's points: x, y, red, green, blue. It differs if the image is turned."""
    rows, columns = np.nonzero(masks.decode(mask))
    middle = len(rows) // 2
    y, x = int(rows[middle]), int(columns[middle])
    return [x, y, *(int(value) for value in pixels[y, x])]
