"""Read the ground truth of GranD-f val and test: captions with labels in one file, masks in another."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from glamm.data.parsing import json_fields
from glamm.data.parsing.json_stream import read_json
from glamm.errors import DataError
from glamm.evaluation.caption_lines import replace_line_separators
from glamm.evaluation.rle import read_rle
from glamm.geometry.masks import area
from glamm.structures.gcg import GroundTruth, GroundTruthImage, GroundTruthMask
from glamm.structures.issue import IssueKind, IssueLog, Location
from glamm.structures.report import ImageId
from glamm.typing import Size

BELOW_DATA_ROOT = Path("GranDf/annotations/val_test")


def find_ground_truth_files(folder: Path, split: str) -> tuple[Path, Path]:
    """The caption file and the mask file of a split, in a folder or below a data root.

    Raises:
        DataError: One of them is missing.
    """
    names = f"{split}_gcg_coco_caption_gt.json", f"{split}_gcg_coco_mask_gt.json"
    for parent in (folder, folder / BELOW_DATA_ROOT):
        files = parent / names[0], parent / names[1]
        present = [file.is_file() for file in files]
        if all(present):
            return files
        if any(present):
            missing = files[present.index(False)]
            raise DataError("is missing: captions and masks come as a pair", file=missing)
    raise DataError(f"holds no {names[0]}, neither directly nor in {BELOW_DATA_ROOT}", file=folder)


def read_ground_truth(
    folder: Path, split: str, issues: IssueLog, *, limit: int | None = None
) -> GroundTruth:
    """Read a split.

    Args:
        folder: Holds the official files, or is a data root.
        split: val or test.
        issues: Gets what is wrong with the images that are read.
        limit: Read only so many images, the first of the caption file.

    Raises:
        DataError: A file is missing or is not JSON, or a record does not have the official form.
    """
    found = IssueLog()
    truth = _read_split(folder, split, found)
    if limit is None or limit >= len(truth.images):
        issues.extend(found)
        return truth
    images = truth.images[:limit]
    records = {Location("", str(image.id)).record for image in images}
    issues.extend(issue for issue in found if issue.location.record in records)
    reason = f"only the first {limit} of {len(truth.images)} images are evaluated"
    issues.add(reason, kind=IssueKind.LIMITED)
    return GroundTruth(split, images)


def _read_split(folder: Path, split: str, issues: IssueLog) -> GroundTruth:
    caption_file, mask_file = find_ground_truth_files(folder, split)
    caption_tree, mask_tree = (_read_tree(file) for file in (caption_file, mask_file))
    entries = _read_image_entries(caption_tree, caption_file)
    _check_ids([image_id for image_id, _ in entries], caption_file)
    masks = _read_masks(mask_tree, mask_file, issues)
    references = _read_references(caption_tree, caption_file, issues)
    mask_entries = dict(_read_image_entries(mask_tree, mask_file))
    images = tuple(
        _make_image(
            image_id, {**mask_entries.get(image_id, {}), **entry}, references, masks, caption_file
        )
        for image_id, entry in entries
    )
    _check_captions(images, caption_file, issues)
    captioned = {image.id for image in images}
    mask_only_images = tuple(
        _make_image(image_id, entry, references, masks, mask_file)
        for image_id, entry in mask_entries.items()
        if image_id not in captioned
    )
    return GroundTruth(split, images, mask_only_images)


def _read_tree(path: Path) -> json_fields.Json:
    value = read_json(path)
    if not isinstance(value, dict):
        raise DataError("must be an object with 'images' and 'annotations'", file=path)
    return value


def _read_image_entries(
    tree: json_fields.Json, path: Path
) -> list[tuple[ImageId, json_fields.Json]]:
    entries: list[tuple[ImageId, json_fields.Json]] = []
    for record, entry in _read_records(tree, "images", path):
        entries.append((_image_id(entry.get("id"), path, record), entry))
    return entries


def _check_ids(ids: list[ImageId], path: Path) -> None:
    if not ids:
        raise DataError("lists no image: there is nothing to evaluate", file=path, field="images")
    if len({type(image_id) for image_id in ids}) > 1:
        raise DataError("mixes text and numbers as image ids: they have no order", file=path)
    repeated = [image_id for image_id, count in Counter(ids).items() if count > 1]
    if repeated:
        raise DataError("is listed twice: each image counts once", file=path, record=repeated[0])


def _read_masks(
    tree: json_fields.Json, path: Path, issues: IssueLog
) -> dict[ImageId, list[GroundTruthMask]]:
    """Masks by image. Of two annotations with one id the later one replaces the earlier one.

    Upstream: pycocotools keeps annotations in a dictionary by id, but a list of ids for each image; average precision
        therefore counts the later annotation once for each occurrence of its id. Kept, and reported.
    """
    occurrences: Counter[int] = Counter()
    by_id: dict[int, tuple[ImageId, GroundTruthMask]] = {}
    for record, entry in _read_records(tree, "annotations", path):
        image_id = _image_id(entry.get("image_id"), path, record)
        with _located(path, record):
            number = json_fields.integer(entry.get("id"), "id")
            mask, fault = read_rle(entry.get("segmentation"))
            stated_area = json_fields.optional_number(entry, "area")
        add_issue = partial(issues.add, file=path.name, record=str(image_id))
        if fault:
            reason = f"ground truth annotation {number}: {fault}; the rest counts as background"
            add_issue(reason, kind=IssueKind.DAMAGED_MASK)
        if stated_area is None:
            reason = f"annotation {number} states no area; the mask's own is used"
            add_issue(reason, kind=IssueKind.MISSING_AREA)
        if number in by_id:
            reason = f"annotation id {number} occurs again; the later one replaces the earlier one"
            add_issue(reason, kind=IssueKind.DUPLICATE_ID)
        occurrences[number] += 1
        by_id[number] = (
            image_id,
            GroundTruthMask(
                number,
                mask,
                float(area(mask)) if stated_area is None else stated_area,
                category=_category(entry),
                is_crowd=bool(entry.get("iscrowd", 0)),
                occurrences=occurrences[number],
            ),
        )
    masks: dict[ImageId, list[GroundTruthMask]] = {}
    for image_id, mask in by_id.values():
        masks.setdefault(image_id, []).append(mask)
    return masks


def _category(entry: json_fields.Json) -> int:
    value = entry.get("category_id", 1)
    return value if isinstance(value, int) else 1


def _read_references(
    tree: json_fields.Json, path: Path, issues: IssueLog
) -> dict[ImageId, list[tuple[str, tuple[str, ...]]]]:
    """The (caption, labels) pairs of each image."""
    references: dict[ImageId, list[tuple[str, tuple[str, ...]]]] = {}
    for record, entry in _read_records(tree, "annotations", path):
        image_id = _image_id(entry.get("image_id"), path, record)
        with _located(path, record):
            caption, replaced = replace_line_separators(json_fields.text(entry, "caption"))
            labels = tuple(
                json_fields.text({"labels": label}, "labels")
                for label in json_fields.items(entry, "labels")
            )
        if replaced:
            issues.add(
                f"the reference holds {replaced}, replaced by a space: the tokenizer would take it for a line's end",
                file=path.name,
                record=str(image_id),
                kind=IssueKind.LINE_SEPARATOR,
            )
        references.setdefault(image_id, []).append((caption, labels))
    return references


def _make_image(
    image_id: ImageId,
    entry: json_fields.Json,
    references: dict[ImageId, list[tuple[str, tuple[str, ...]]]],
    masks: dict[ImageId, list[GroundTruthMask]],
    path: Path,
) -> GroundTruthImage:
    of_image = references.get(image_id, [])
    name = entry.get("file_name")
    return GroundTruthImage(
        id=image_id,
        file_name=name if isinstance(name, str) else None,
        size=_size(entry, path, image_id),
        captions=tuple(caption for caption, _ in of_image),
        labels=of_image[0][1] if of_image else (),
        masks=tuple(masks.get(image_id, ())),
    )


def _size(entry: json_fields.Json, path: Path, image_id: ImageId) -> Size | None:
    if entry.get("height") is None or entry.get("width") is None:
        return None
    with _located(path, image_id):
        return json_fields.size(entry["height"], entry["width"], "height, width")


def _check_captions(images: Sequence[GroundTruthImage], path: Path, issues: IssueLog) -> None:
    for image in images:
        if not image.captions:
            issues.add(
                "the ground truth has no caption for this image; its words are not scored, its masks are",
                file=path.name,
                record=str(image.id),
                kind=IssueKind.MISSING_CAPTION,
            )
    for image in images:
        if image.captions and len(image.labels) != len(image.masks):
            issues.add(
                f"ground truth has {len(image.labels)} labels and {len(image.masks)} masks",
                file=path.name,
                record=str(image.id),
                kind=IssueKind.COUNT_MISMATCH,
            )


def _read_records(
    tree: json_fields.Json, field: str, path: Path
) -> Iterator[tuple[str, json_fields.Json]]:
    """The objects of a list, each with its name for messages."""
    with _located(path):
        records = json_fields.items(tree, field)
    for index, item in enumerate(records):
        record = f"{field}[{index}]"
        try:
            yield record, json_fields.mapping(item, record)
        except DataError as error:
            raise DataError(error.reason, file=path, record=record) from error


def _image_id(value: object, path: Path, record: str) -> ImageId:
    if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise DataError("must be text or a whole number", file=path, record=record, field="image id")


@contextmanager
def _located(path: Path, record: ImageId | None = None) -> Iterator[None]:
    """Complete an error about a field with its file and record."""
    try:
        yield
    except DataError as error:
        raise DataError(error.reason, file=path, record=record, field=error.field) from error
