"""Read the ground truth of GranD-f val and test: captions with labels in one file, masks in another."""

from collections import Counter
from pathlib import Path
from typing import Any

from glamm.data.parsing import json_fields
from glamm.data.parsing.json_stream import read_json
from glamm.errors import DataError
from glamm.evaluation.caption_lines import one_line
from glamm.evaluation.findings import Finding, FindingKind
from glamm.evaluation.gcg.schema import GcgTruth, ImageId, TruthImage, TruthMask
from glamm.evaluation.rle import read_rle
from glamm.geometry.masks import area
from glamm.typing import Size

BELOW_DATA_ROOT = Path("GranDf/annotations/val_test")


def truth_files(folder: Path, split: str) -> tuple[Path, Path]:
    """The caption file and the mask file of a split, in a folder or below a data root.

    Raises:
        DataError: One of them is missing.
    """
    names = f"{split}_gcg_coco_caption_gt.json", f"{split}_gcg_coco_mask_gt.json"
    places = (folder, folder / BELOW_DATA_ROOT)
    for place in places:
        files = place / names[0], place / names[1]
        present = [file.is_file() for file in files]
        if all(present):
            return files
        if any(present):
            missing = files[present.index(False)]
            raise DataError("is missing: captions and masks come as a pair", file=missing)
    raise DataError(f"holds no {names[0]}, neither directly nor in {BELOW_DATA_ROOT}", file=folder)


def read_truth(folder: Path, split: str) -> tuple[GcgTruth, list[Finding]]:
    """Read a split.

    Args:
        folder: With the official files, or a data root.
        split: val or test.

    Raises:
        DataError: A file is missing, is no JSON, or a record has not the official form.
    """
    caption_file, mask_file = truth_files(folder, split)
    captions, mask_tree = (_tree(file) for file in (caption_file, mask_file))
    findings: list[Finding] = []
    image_sizes = _images(captions, caption_file)
    _check_ids([image_id for image_id, _ in image_sizes], caption_file)
    masks = _masks(mask_tree, mask_file, findings)
    words = _words(captions, caption_file, findings)
    mask_images = dict(_images(mask_tree, mask_file))
    images = tuple(
        _image(image_id, {**mask_images.get(image_id, {}), **entry}, words, masks, caption_file)
        for image_id, entry in image_sizes
    )
    findings += [_without_caption(image) for image in images if not image.captions]
    findings += [finding for image in images for finding in _counts(image)]
    asked = {image.id for image in images}
    unasked = tuple(
        _image(image_id, entry, words, masks, mask_file)
        for image_id, entry in mask_images.items()
        if image_id not in asked
    )
    return GcgTruth(split, images, unasked), findings


def _tree(path: Path) -> json_fields.Json:
    value = read_json(path)
    if not isinstance(value, dict):
        raise DataError("must be an object with 'images' and 'annotations'", file=path)
    return value


def _images(tree: json_fields.Json, path: Path) -> list[tuple[ImageId, json_fields.Json]]:
    entries: list[tuple[ImageId, json_fields.Json]] = []
    for index, item in enumerate(_list(tree, "images", path)):
        entry = _mapping(item, path, f"images[{index}]")
        entries.append((_image_id(entry.get("id"), path, f"images[{index}]"), entry))
    return entries


def _check_ids(ids: list[ImageId], path: Path) -> None:
    if not ids:
        raise DataError("lists no image: there is nothing to evaluate", file=path, field="images")
    if len({type(image_id) for image_id in ids}) > 1:
        raise DataError("mixes text and numbers as image ids: they have no order", file=path)
    seen: set[ImageId] = set()
    for image_id in ids:
        if image_id in seen:
            raise DataError("is listed twice: each image counts once", file=path, record=image_id)
        seen.add(image_id)


def _masks(
    tree: json_fields.Json, path: Path, findings: list[Finding]
) -> dict[ImageId, list[TruthMask]]:
    """Masks by image. Of two annotations with one id the later one stands in the earlier one's place.

    Upstream: pycocotools keeps annotations in a dictionary by id, but a list of ids for each image; average precision
        therefore sees the later annotation once for each occurrence of its id. Kept, and named.
    """
    occurrences: Counter[int] = Counter()
    by_id: dict[int, tuple[ImageId, TruthMask]] = {}
    for index, item in enumerate(_list(tree, "annotations", path)):
        record = f"annotations[{index}]"
        entry = _mapping(item, path, record)
        image_id = _image_id(entry.get("image_id"), path, record)
        try:
            number = json_fields.integer(entry.get("id"), "id")
            mask, fault = read_rle(entry.get("segmentation"))
            stated = json_fields.optional_number(entry, "area")
        except DataError as error:
            raise DataError(error.reason, file=path, record=record, field=error.field) from error
        if fault:
            message = f"ground truth annotation {number}: {fault}; the rest counts as background"
            findings.append(Finding(FindingKind.DAMAGED_MASK, str(image_id), message))
        if stated is None:
            message = f"annotation {number} states no area; the mask's own is used"
            findings.append(Finding(FindingKind.MISSING_AREA, str(image_id), message))
        if number in by_id:
            message = f"annotation id {number} occurs again; the later one replaces the earlier one"
            findings.append(_duplicate(str(image_id), message))
        occurrences[number] += 1
        by_id[number] = (
            image_id,
            TruthMask(
                number,
                mask,
                float(area(mask)) if stated is None else stated,
                category=_category(entry),
                is_crowd=bool(entry.get("iscrowd", 0)),
                occurrences=occurrences[number],
            ),
        )
    masks: dict[ImageId, list[TruthMask]] = {}
    for image_id, mask in by_id.values():
        masks.setdefault(image_id, []).append(mask)
    return masks


def _category(entry: json_fields.Json) -> int:
    value = entry.get("category_id", 1)
    return value if isinstance(value, int) else 1


def _words(
    tree: json_fields.Json, path: Path, findings: list[Finding]
) -> dict[ImageId, list[tuple[str, tuple[str, ...]]]]:
    words: dict[ImageId, list[tuple[str, tuple[str, ...]]]] = {}
    for index, item in enumerate(_list(tree, "annotations", path)):
        record = f"annotations[{index}]"
        entry = _mapping(item, path, record)
        image_id = _image_id(entry.get("image_id"), path, record)
        try:
            caption, changed = one_line(json_fields.text(entry, "caption"))
            labels = tuple(
                json_fields.text({"labels": label}, "labels")
                for label in json_fields.items(entry, "labels")
            )
        except DataError as error:
            raise DataError(error.reason, file=path, record=record, field=error.field) from error
        if changed:
            message = f"the reference holds {changed}, replaced by a space: the tokenizer would take it for a line's end"
            findings.append(Finding(FindingKind.LINE_SEPARATOR, str(image_id), message))
        words.setdefault(image_id, []).append((caption, labels))
    return words


def _image(
    image_id: ImageId,
    entry: json_fields.Json,
    words: dict[ImageId, list[tuple[str, tuple[str, ...]]]],
    masks: dict[ImageId, list[TruthMask]],
    path: Path,
) -> TruthImage:
    references = words.get(image_id, [])
    name = entry.get("file_name")
    return TruthImage(
        id=image_id,
        file_name=name if isinstance(name, str) else None,
        size=_size(entry, path, image_id),
        captions=tuple(caption for caption, _ in references),
        labels=references[0][1] if references else (),
        masks=tuple(masks.get(image_id, ())),
    )


def _size(entry: json_fields.Json, path: Path, image_id: ImageId) -> Size | None:
    if entry.get("height") is None or entry.get("width") is None:
        return None
    try:
        return json_fields.size(entry["height"], entry["width"], "height, width")
    except DataError as error:
        raise DataError(error.reason, file=path, record=image_id, field=error.field) from error


def _counts(image: TruthImage) -> list[Finding]:
    if not image.captions or len(image.labels) == len(image.masks):
        return []
    message = f"ground truth has {len(image.labels)} labels and {len(image.masks)} masks"
    return [Finding(FindingKind.COUNT_MISMATCH, str(image.id), message)]


def _without_caption(image: TruthImage) -> Finding:
    message = (
        "the ground truth has no caption for this image; its words are not scored, its masks are"
    )
    return Finding(FindingKind.MISSING_CAPTION, str(image.id), message)


def _duplicate(record: str, message: str) -> Finding:
    return Finding(FindingKind.DUPLICATE_ID, record, message)


def _list(tree: json_fields.Json, field: str, path: Path) -> list[Any]:
    try:
        return json_fields.items(tree, field)
    except DataError as error:
        raise DataError(error.reason, file=path, field=field) from error


def _mapping(item: object, path: Path, record: str) -> json_fields.Json:
    try:
        return json_fields.mapping(item, record)
    except DataError as error:
        raise DataError(error.reason, file=path, record=record) from error


def _image_id(value: object, path: Path, record: str) -> ImageId:
    if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise DataError("must be text or a whole number", file=path, record=record, field="image id")
