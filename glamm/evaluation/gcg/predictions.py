"""Read and write predictions in the release's format: one JSON file for each image."""

import json
from collections.abc import Container, Sequence
from functools import partial
from pathlib import Path

from glamm.data.parsing import json_fields
from glamm.data.parsing.json_stream import read_json
from glamm.errors import DataError
from glamm.evaluation.caption_lines import replace_line_separators, replace_surrogates
from glamm.evaluation.rle import read_rle
from glamm.files import write_text
from glamm.structures.gcg import (
    EMPTY_PREDICTION,
    GroundTruthImage,
    ImagePair,
    Prediction,
)
from glamm.structures.issue import IssueKind, IssueLog
from glamm.structures.report import ImageId
from glamm.structures.sample import Mask
from glamm.typing import Size

_MAX_NAMES = 5


def prediction_path(folder: Path, image_id: ImageId) -> Path:
    """The path of an image's prediction.

    Raises:
        DataError: The id would lead out of the folder.
    """
    name = f"{image_id}.json"
    if Path(name).name != name or "\0" in name:
        raise DataError("is no file name, so no prediction can be looked up", record=image_id)
    return folder / name


def write_prediction(
    folder: Path, image_id: ImageId, prediction: Prediction, *, origin: str
) -> None:
    """Write one file, whole or not at all. Our keys `scores` and `origin` are added to the official ones.

    Args:
        folder: Folder of the predictions; it exists.
        image_id: Names the file.
        prediction: The answer of the model.
        origin: Fingerprint of model, question and image, by which an interrupted run recognizes finished answers.
    """
    content = {
        "image_id": image_id,
        "caption": prediction.caption,
        "phrases": list(prediction.phrases),
        "pred_masks": [
            {"size": list(mask.size), "counts": mask.counts.decode("ascii")}
            for mask in prediction.masks
        ],
        "origin": origin,
    }
    if prediction.scores is not None:
        content["scores"] = list(prediction.scores)
    write_text(prediction_path(folder, image_id), json.dumps(content, ensure_ascii=False))


def read_origin(path: Path) -> str | None:
    """The fingerprint in a prediction file; None for a missing or damaged file, or one without a fingerprint."""
    if not path.is_file():
        return None
    try:
        content = read_json(path)
    except DataError:
        return None
    origin = content.get("origin") if isinstance(content, dict) else None
    return origin if isinstance(origin, str) else None


def pair_with_predictions(
    images: Sequence[GroundTruthImage],
    folder: Path,
    issues: IssueLog,
    *,
    unanswered: Container[ImageId] = (),
) -> list[ImagePair]:
    """Read the prediction of every image. A missing one counts as an empty answer.

    Args:
        images: In the order of the split.
        folder: Holds the predictions.
        issues: Gets what is wrong with the predictions.
        unanswered: Images whose missing prediction was already reported.

    Raises:
        DataError: The folder is missing, or a file is not JSON or does not have the official form.
    """
    if not folder.is_dir():
        raise DataError("is no folder with predictions", file=folder)
    pairs: list[ImagePair] = []
    for image in images:
        path = prediction_path(folder, image.id)
        if path.is_file():
            prediction = _read(path, image, issues)
        else:
            prediction = EMPTY_PREDICTION
            if image.id not in unanswered:
                issues.add(
                    f"there is no {path.name}; counted as an empty answer",
                    file=path.name,
                    record=str(image.id),
                    kind=IssueKind.MISSING_PREDICTION,
                )
        pairs.append(ImagePair(image, prediction))
    _check_set(pairs, issues)
    return pairs


def report_unused(images: Sequence[GroundTruthImage], folder: Path, issues: IssueLog) -> None:
    """Report files that are no image's prediction: a file with a wrong name is also a missing prediction.

    Args:
        images: All images of the split.
        folder: Holds the predictions.
        issues: Gets one issue with the number of such files and the first names.
    """
    expected = {prediction_path(folder, image.id).name for image in images}
    unused = sorted(
        path.name
        for path in folder.iterdir()
        if path.suffix.lower() == ".json" and path.name not in expected
    )
    if unused:
        shown = ", ".join(unused[:_MAX_NAMES]) + (", …" if len(unused) > _MAX_NAMES else "")
        reason = f"{len(unused)} files belong to no image of the split and are not used: {shown}"
        issues.add(reason, kind=IssueKind.UNUSED_PREDICTION)


def _check_set(pairs: Sequence[ImagePair], issues: IssueLog) -> None:
    with_masks = [pair.prediction for pair in pairs if pair.prediction.masks]
    if not with_masks:
        issues.add("not one predicted mask in the whole set", kind=IssueKind.NO_MASKS)
    has_scores = [prediction.scores is not None for prediction in with_masks]
    if any(has_scores) and not all(has_scores):
        reason = f"{sum(has_scores)} of {len(has_scores)} predictions carry scores; none is used"
        issues.add(reason, kind=IssueKind.SCORES)


def _read(path: Path, image: GroundTruthImage, issues: IssueLog) -> Prediction:
    try:
        record, invalid = replace_surrogates(_unwrapped(read_json(path)), "caption", "phrases")
        caption, replaced = replace_line_separators(
            json_fields.text(record.get("caption"), "caption")
        )
        phrases = tuple(
            json_fields.text(phrase, "phrases") for phrase in _required_list(record, "phrases")
        )
        masks = [read_rle(mask) for mask in _required_list(record, "pred_masks")]
        scores = _scores(record, len(masks))
    except DataError as error:
        raise DataError(error.reason, file=error.file or path, field=error.field) from error
    add_issue = partial(issues.add, file=path.name, record=str(image.id))
    if invalid:
        reason = f"caption or phrases hold {invalid}, which is no text: replaced by U+FFFD"
        add_issue(reason, kind=IssueKind.INVALID_TEXT)
    if replaced:
        reason = f"the caption holds {replaced}, replaced by a space: the tokenizer would take it for a line's end"
        add_issue(reason, kind=IssueKind.LINE_SEPARATOR)
    if str(record.get("image_id", image.id)) != str(image.id):  # a number may be written as text
        reason = f"{path.name} names the image '{record['image_id']}'"
        add_issue(reason, kind=IssueKind.IMAGE_ID)
    if len(phrases) != len(masks):
        reason = f"{len(phrases)} phrases and {len(masks)} masks predicted"
        add_issue(reason, kind=IssueKind.COUNT_MISMATCH)
    for index, (mask, fault) in enumerate(masks):
        if fault:
            reason = f"predicted mask {index}: {fault}; the rest counts as background"
            add_issue(reason, kind=IssueKind.DAMAGED_MASK)
        reason = _size_mismatch(index, mask, image.annotated_size)
        if reason:
            add_issue(reason, kind=IssueKind.SIZE_MISMATCH)
    return Prediction(caption, phrases, tuple(mask for mask, _ in masks), scores)


def _size_mismatch(index: int, mask: Mask, expected: Size | None) -> str | None:
    if expected is None or mask.size == expected:
        return None
    predicted, annotated = (f"{height} x {width}" for height, width in (mask.size, expected))
    return (
        f"predicted mask {index} is {predicted}, the ground truth {annotated} (height x width); "
        "it overlaps nothing"
    )


def _unwrapped(value: object) -> json_fields.Json:
    """The record itself, or the one that a single key such as the file name holds.

    Upstream: the release tries the first key and falls back.
    """
    record = json_fields.mapping(value, "the file")
    inner = next(iter(record.values()), None)
    if isinstance(inner, dict) and "caption" in inner and "phrases" in inner:
        return inner
    return record


def _required_list(record: json_fields.Json, field: str) -> list[object]:
    if field not in record:
        raise DataError("is missing", field=field)
    return json_fields.items(record.get(field), field)


def _scores(record: json_fields.Json, num_masks: int) -> tuple[float, ...] | None:
    if record.get("scores") is None:
        return None
    values = json_fields.items(record.get("scores"), "scores")
    if len(values) != num_masks:
        raise DataError(f"{len(values)} scores for {num_masks} masks", field="scores")
    return tuple(json_fields.number(value, "scores") for value in values)
