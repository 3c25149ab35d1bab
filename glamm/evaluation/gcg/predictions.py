"""Read and write predictions in the release's format: one JSON file an image."""

import json
from collections.abc import Sequence
from pathlib import Path

from glamm.data.parsing import json_fields
from glamm.data.parsing.json_stream import read_json
from glamm.errors import DataError
from glamm.evaluation.caption_lines import one_line
from glamm.evaluation.findings import Finding, FindingKind
from glamm.evaluation.gcg.schema import (
    EMPTY_PREDICTION,
    GcgPair,
    ImageId,
    Prediction,
    TruthImage,
)
from glamm.evaluation.rle import read_rle


def prediction_path(folder: Path, image_id: ImageId) -> Path:
    """Where the prediction for an image is.

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
    """Write one file, whole or not at all. Our `scores` and `origin` stand beside the official fields.

    Args:
        folder: Of the predictions.
        image_id: Names the file.
        prediction: What the model said.
        origin: Fingerprint of model, question and image, so that an interrupted run can go on.
    """
    tree = {
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
        tree["scores"] = list(prediction.scores)
    path = prediction_path(folder, image_id)
    half = path.with_suffix(".json.part")
    half.write_text(json.dumps(tree, ensure_ascii=False), encoding="utf-8")
    half.replace(path)


def pair_with_predictions(
    images: Sequence[TruthImage], folder: Path
) -> tuple[list[GcgPair], list[Finding]]:
    """Look up the prediction of every image. A missing one counts as an empty answer and is named.

    Raises:
        DataError: The folder is missing, or a file is no JSON or has not the official form.
    """
    if not folder.is_dir():
        raise DataError("is no folder with predictions", file=folder)
    pairs: list[GcgPair] = []
    findings: list[Finding] = []
    for image in images:
        path = prediction_path(folder, image.id)
        if path.is_file():
            prediction = _read(path, image, findings)
        else:
            message = f"there is no {path.name}; counted as an empty answer"
            findings.append(Finding(FindingKind.MISSING_PREDICTION, str(image.id), message))
            prediction = EMPTY_PREDICTION
        pairs.append(GcgPair(image, prediction))
    if not any(pair.prediction.masks for pair in pairs):
        message = "not one predicted mask in the whole set"
        findings.append(Finding(FindingKind.NO_MASKS, "*", message))
    scored = [pair.prediction.scores is not None for pair in pairs if pair.prediction.masks]
    if any(scored) and not all(scored):
        message = f"{sum(scored)} of {len(scored)} predictions carry scores; none is used"
        findings.append(Finding(FindingKind.SCORES, "*", message))
    return pairs, findings


def _read(path: Path, image: TruthImage, findings: list[Finding]) -> Prediction:
    try:
        record = _unwrapped(read_json(path))
        caption, changed = one_line(json_fields.text(record, "caption"))
        phrases = tuple(
            json_fields.text({"phrases": phrase}, "phrases") for phrase in _list(record, "phrases")
        )
        masks = [read_rle(mask) for mask in _list(record, "pred_masks")]
        scores = _scores(record, len(masks))
    except DataError as error:
        raise DataError(error.reason, file=error.file or path, field=error.field) from error

    def note(kind: FindingKind, message: str) -> None:
        findings.append(Finding(kind, str(image.id), message))

    if changed:
        note(
            FindingKind.LINE_SEPARATOR,
            f"the caption holds {changed}, replaced by a space: the tokenizer would take it for a line's end",
        )
    if record.get("image_id", image.id) != image.id:
        note(FindingKind.IMAGE_ID, f"{path.name} names the image '{record['image_id']}'")
    if len(phrases) != len(masks):
        note(FindingKind.COUNT_MISMATCH, f"{len(phrases)} phrases and {len(masks)} masks predicted")
    for index, (mask, fault) in enumerate(masks):
        if fault:
            note(
                FindingKind.DAMAGED_MASK,
                f"predicted mask {index}: {fault}; the rest counts as background",
            )
        expected = _size(image)
        if expected is not None and mask.size != expected:
            note(
                FindingKind.SIZE_MISMATCH,
                f"predicted mask {index} is {_shown(mask.size)}, the ground truth {_shown(expected)} "
                "(height x width); it overlaps nothing",
            )
    return Prediction(caption, phrases, tuple(mask for mask, _ in masks), scores)


def _unwrapped(value: object) -> json_fields.Json:
    """The record itself, or the one that a single key such as the file name holds.

    Upstream: the release tries the first key and falls back.
    """
    record = json_fields.mapping(value, "the file")
    inner = next(iter(record.values()), None)
    if isinstance(inner, dict) and "caption" in inner and "phrases" in inner:
        return inner
    return record


def _list(record: json_fields.Json, field: str) -> list[object]:
    if field not in record:
        raise DataError("is missing", field=field)
    return json_fields.items(record, field)


def _scores(record: json_fields.Json, num_masks: int) -> tuple[float, ...] | None:
    if record.get("scores") is None:
        return None
    values = json_fields.items(record, "scores")
    numbers = [json_fields.optional_number({"scores": value}, "scores") for value in values]
    if len(numbers) != num_masks or None in numbers:
        raise DataError(f"{len(numbers)} scores for {num_masks} masks", field="scores")
    return tuple(number for number in numbers if number is not None)


def _size(image: TruthImage) -> tuple[int, int] | None:
    return image.masks[0].mask.size if image.masks else image.size


def _shown(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"
