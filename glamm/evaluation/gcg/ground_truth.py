"""Read the ground truth of GranD-f val and test: captions with labels in one file, masks in another."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from glamm.data.parsing import json_fields
from glamm.data.parsing.grandf_eval import (
    ANNOTATION_FOLDER,
    EvalCaption,
    EvalImage,
    EvalMask,
    eval_entries,
    eval_file_names,
    find_eval_files,
    read_eval_file,
)
from glamm.data.parsing.layout import parse
from glamm.errors import DataError
from glamm.evaluation.caption_lines import replace_line_separators, replace_surrogates
from glamm.evaluation.rle import read_rle
from glamm.geometry.masks import area
from glamm.structures.gcg import GroundTruth, GroundTruthImage, GroundTruthMask
from glamm.structures.issue import IssueKind, IssueLog, Location
from glamm.structures.report import ImageId


def find_ground_truth_files(folder: Path, split: str) -> tuple[Path, Path]:
    """The caption file and the mask file of a split, in a folder or below a data root.

    Raises:
        DataError: One of them is missing.
    """
    for parent in (folder, folder / ANNOTATION_FOLDER):
        files = find_eval_files(parent, split)
        if files is not None:
            return files
    name = eval_file_names(split)[0]
    raise DataError(
        f"holds no {name}, neither directly nor in {ANNOTATION_FOLDER}: `glamm evaluate gcg` needs GranD-f's val and "
        "test files. For classes with masks (LabelMe, CVAT, COCO) use `glamm evaluate semseg`, for referring expressions "
        "`glamm evaluate refseg`, both on the shards of `glamm data prepare`",
        file=folder,
    )


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
    caption_tree, mask_tree = (read_eval_file(file) for file in (caption_file, mask_file))
    entries = _read_image_entries(caption_tree, caption_file)
    _check_ids([image_id for image_id, _ in entries], caption_file)
    # the lists may write an id as text or as a number: as `images` does is how it is called
    as_listed = {str(image_id): image_id for image_id, _ in entries}
    masks = _read_masks(mask_tree, mask_file, as_listed, issues)
    references = _read_references(caption_tree, caption_file, as_listed, issues)
    mask_entries = {
        as_listed.get(str(image_id), image_id): entry
        for image_id, entry in _read_image_entries(mask_tree, mask_file)
    }
    listed = {*as_listed.values(), *mask_entries}
    for image_id, of_image in masks.items():
        if image_id not in listed:
            reason = f"{len(of_image)} masks belong to this image, which is not listed"
            issues.add(reason, "image_id", file=mask_file.name, record=str(image_id))
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


def _read_image_entries(
    tree: json_fields.Json, path: Path
) -> list[tuple[ImageId, json_fields.Json]]:
    entries: list[tuple[ImageId, json_fields.Json]] = []
    for record, entry in eval_entries(tree, "images", path):
        with _located(path, record):
            entries.append((parse(EvalImage, entry).id, json_fields.mapping(entry, record)))
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
    tree: json_fields.Json, path: Path, as_listed: Mapping[str, ImageId], issues: IssueLog
) -> dict[ImageId, list[GroundTruthMask]]:
    """Masks by image. Of two annotations with one id the later one replaces the earlier one.

    Upstream: pycocotools keeps annotations in a dictionary by id, but a list of ids for each image; average precision
        therefore counts the later annotation once for each occurrence of its id. Kept, and reported.
    """
    occurrences: Counter[int] = Counter()
    by_id: dict[int, tuple[ImageId, GroundTruthMask]] = {}
    for record, entry in eval_entries(tree, "annotations", path):
        with _located(path, record):
            annotation = parse(EvalMask, entry)
            mask, fault = read_rle(annotation.segmentation)
            stated_area = annotation.stated_area
        image_id = as_listed.get(str(annotation.image_id), annotation.image_id)
        number = annotation.id
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
                category=_category(annotation),
                is_crowd=annotation.is_crowd,
                occurrences=occurrences[number],
            ),
        )
    masks: dict[ImageId, list[GroundTruthMask]] = {}
    for image_id, mask in by_id.values():
        masks.setdefault(image_id, []).append(mask)
    return masks


def _category(annotation: EvalMask) -> int:
    return annotation.category_id if isinstance(annotation.category_id, int) else 1


def _read_references(
    tree: json_fields.Json, path: Path, as_listed: Mapping[str, ImageId], issues: IssueLog
) -> dict[ImageId, list[EvalCaption]]:
    references: dict[ImageId, list[EvalCaption]] = {}
    for record, entry in eval_entries(tree, "annotations", path):
        cleaned, invalid = replace_surrogates(entry, "caption", "labels")
        with _located(path, record):
            annotation = parse(EvalCaption, cleaned)
        image_id = as_listed.get(str(annotation.image_id), annotation.image_id)
        if invalid:
            issues.add(
                f"caption or labels hold {invalid}, which is no text: replaced by U+FFFD",
                file=path.name,
                record=str(image_id),
                kind=IssueKind.INVALID_TEXT,
            )
        caption, replaced = replace_line_separators(annotation.caption)
        if replaced:
            issues.add(
                f"the reference holds {replaced}, replaced by a space: the tokenizer would take it for a line's end",
                file=path.name,
                record=str(image_id),
                kind=IssueKind.LINE_SEPARATOR,
            )
        reference = annotation.model_copy(update={"caption": caption})
        references.setdefault(image_id, []).append(reference)
    return references


def _make_image(
    image_id: ImageId,
    entry: json_fields.Json,
    references: dict[ImageId, list[EvalCaption]],
    masks: dict[ImageId, list[GroundTruthMask]],
    path: Path,
) -> GroundTruthImage:
    of_image = references.get(image_id, [])
    with _located(path, image_id):
        image = parse(EvalImage, entry)
        size = image.size
    return GroundTruthImage(
        id=image_id,
        file_name=image.file_name if isinstance(image.file_name, str) else None,
        size=size,
        captions=tuple(reference.caption for reference in of_image),
        labels=of_image[0].labels if of_image else (),
        masks=tuple(masks.get(image_id, ())),
    )


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


@contextmanager
def _located(path: Path, record: ImageId | None = None) -> Iterator[None]:
    """Complete an error about a field with its file and record."""
    try:
        yield
    except DataError as error:
        raise DataError(error.reason, file=path, record=record, field=error.field) from error
