"""What was read, as JSON that a person or a test can compare."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from glamm.data.inspection.as_read.record_names import RecordNames
from glamm.data.inspection.shown import shown_object, shown_span
from glamm.data.preparation.check import Checked
from glamm.data.readers.registry import Source
from glamm.geometry import masks
from glamm.geometry.image_files import decode, read_header
from glamm.structures.issue import Issue, Location, Severity
from glamm.structures.sample import Mask, Sample, Task, objects_by_id

_SUMMED_BY_THE_RELEASE = {"granddf_ha_gcg", "openpsg_gcg"}
_WITH_OBJECTS = {
    Task.GROUNDED_CONVERSATION,
    Task.REFERRING_SEGMENTATION,
    Task.SEMANTIC_SEGMENTATION,
    Task.PHRASE_GROUNDING,
}


def describe(source: Source, root: Path, found: Iterable[Checked | Issue]) -> dict[str, Any]:
    """The whole of what a data set gave.

    Args:
        source: The data set.
        root: Its folder; files are named relative to it.
        found: In the order of the files.

    Returns:
        `samples` (one entry a record), `dropped` (records left out) and `findings` (parts left out).
    """
    items = list(found)
    names = RecordNames(source.name, map(_location, items))
    samples: list[dict[str, Any]] = []
    dropped: list[dict[str, Any]] = []
    findings: list[dict[str, Any]] = []
    for item in items:
        if isinstance(item, Checked):
            samples.append(_record(root, item, names.of_record(item.record.location)))
            continue
        field = item.location.field
        entry = {"record": names.of_issue(item), "field": field, "reason": item.reason}
        (findings if item.severity is Severity.PART else dropped).append(entry)
    files = list(dict.fromkeys(_annotation_files(samples, dropped)))
    task = samples[0]["task"] if samples else None
    return {
        "dataset": source.name,
        "task": task,
        "annotation_files": files,
        "samples": samples,
        "dropped": dropped,
        "findings": findings,
    }


def _location(item: Checked | Issue) -> Location:
    return item.record.location if isinstance(item, Checked) else item.location


def _annotation_files(*groups: list[dict[str, Any]]) -> Iterable[str]:
    for group in groups:
        for entry in group:
            yield entry.pop("annotation_file", entry["record"].partition("#")[0])


def _record(root: Path, checked: Checked, name: str) -> dict[str, Any]:
    record = checked.record
    first = record.samples[0]
    told = {
        "record": name,
        "annotation_file": record.location.file,
        "split": first.split,
        "task": first.task.value,
        "image": _image(root, checked),
    }
    if first.task in _WITH_OBJECTS:
        told["objects"] = [
            shown_object(obj, record.object_remarks.get(obj.id, {})) for obj in first.objects
        ]
    grounded = [sample for sample in record.samples if sample.task is Task.GROUNDED_CONVERSATION]
    if len(record.samples) == 1 and record.is_trainable:
        told |= _single(first)
    told |= record.remarks
    for key in record.hidden:
        told.pop(key, None)
    if first.dataset in _SUMMED_BY_THE_RELEASE and grounded:
        told["compat"] = {"mask_of_each_span_is_the_sum": _sums(first, told["spans"])}
    return told


def _single(sample: Sample) -> dict[str, Any]:
    if sample.task is Task.REGION_CAPTIONING:
        known = objects_by_id(sample.objects)
        return {
            "regions": [
                {"bbox_xyxy": list(known[target.object_ids[0]].box), "text": target.text}
                for target in sample.targets
            ]
        }
    if sample.targets:
        return {
            "targets": [
                {"text": target.text, "object_ids": list(target.object_ids)}
                for target in sample.targets
            ]
        }
    if sample.task is Task.IMAGE_CAPTIONING:
        return {"captions": [{"text": sample.turns[1].text}]}
    if sample.task is Task.VQA or len(sample.turns) > len(("user", "assistant")):
        return {"turns": [{"role": turn.role, "text": turn.text} for turn in sample.turns]}
    answer = sample.turns[1]
    text = answer.text or ""
    return {"text": text, "spans": [shown_span(text, span) for span in answer.spans]}


def _image(root: Path, checked: Checked) -> dict[str, Any]:
    image = checked.record.samples[0].image
    path = Path(image.path or "")
    header = read_header(path)
    height, width = image.size
    told: dict[str, Any] = {
        "file": path.relative_to(root).as_posix(),
        "width": width,
        "height": height,
    }
    if header.orientation != 1:
        told["exif_orientation"] = header.orientation
        told["annotation_frame"] = "stored" if image.size == header.size else "turned"
        told["stored_width_height"] = [header.size[1], header.size[0]]
    if header.pixel_format:
        told["pixel_format"] = header.pixel_format
    pixels = decode(checked.image_bytes, size=image.size)
    objects = checked.record.samples[0].objects
    told["probes_x_y_r_g_b"] = [_probe(pixels, obj.mask) for obj in objects if obj.mask]
    return told


def _probe(pixels: np.ndarray, mask: Mask) -> list[int]:
    """The pixel in the middle of a mask's points, so that a wrong frame shows."""
    rows, columns = np.nonzero(masks.decode(mask))
    middle = len(rows) // 2
    y, x = int(rows[middle]), int(columns[middle])
    return [x, y, *(int(value) for value in pixels[y, x])]


def _sums(sample: Sample, spans: list[dict[str, Any]]) -> list[dict[str, int]]:
    """What the release trains on: masks of a phrase added up."""
    by_id = {obj.id: obj.mask for obj in sample.objects}
    told: list[dict[str, int]] = []
    for span in spans:
        parts = [mask for number in span["object_ids"] if (mask := by_id[number])]
        total = np.sum([masks.decode(mask).astype(np.int64) for mask in parts], axis=0)
        told.append(
            {"nonzero": int((total > 0).sum()), "sum": int(total.sum()), "max": int(total.max())}
        )
    return told
