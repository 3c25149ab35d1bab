"""Ground truth and predictions of grounded conversation generation, as objects and as files."""

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np

from glamm.geometry.masks import area, encode
from glamm.structures.gcg import GroundTruthImage, GroundTruthMask, ImagePair, Prediction
from glamm.structures.sample import Mask

SIZE = (8, 10)
_ANNOTATION_IDS = itertools.count(1)  # unique, as in a real file


def block(top: int, left: int, height: int, width: int, *, size: tuple[int, int] = SIZE) -> Mask:
    """The mask of a rectangle."""
    pixels = np.zeros(size, dtype=bool)
    pixels[top : top + height, left : left + width] = True
    return encode(pixels)


def pair(
    truths: list[Mask],
    predictions: list[Mask],
    *,
    name: str = "a",
    scores: list[float] | None = None,
) -> ImagePair:
    """An image with a label and a phrase for every mask."""
    phrases = tuple(f"thing {index}" for index in range(len(predictions)))
    confidences = tuple(scores) if scores is not None else None
    prediction = Prediction("a thing", phrases, tuple(predictions), confidences)
    return ImagePair(ground_truth_image(name, truths), prediction)


def ground_truth_image(name: str, masks: list[Mask]) -> GroundTruthImage:
    """An annotated image with a label for every mask."""
    annotated = tuple(
        GroundTruthMask(next(_ANNOTATION_IDS), mask, float(area(mask))) for mask in masks
    )
    labels = tuple(f"thing {index}" for index in range(len(masks)))
    return GroundTruthImage(name, f"{name}.jpg", SIZE, ("a thing",), labels, annotated)


def code(mask: Mask) -> dict[str, Any]:
    """A mask as in a file."""
    return {"size": list(mask.size), "counts": mask.counts.decode()}


def write_ground_truth(folder: Path, images: dict[str, list[Mask]], *, split: str = "val") -> Path:
    """The two official files, with a caption and a label for every mask."""
    folder.mkdir(parents=True, exist_ok=True)
    image_entries = [
        {"id": name, "file_name": f"{name}.jpg", "height": SIZE[0], "width": SIZE[1]}
        for name in images
    ]
    captions = [
        {
            "id": number,
            "image_id": name,
            "caption": "A red ball lies on the floor.",
            "labels": ["red ball"] * len(masks),
        }
        for number, (name, masks) in enumerate(images.items(), start=1)
    ]
    annotations = [
        {
            "image_id": name,
            "category_id": 1,
            "segmentation": code(mask),
            "area": area(mask),
            "iscrowd": 0,
        }
        for name, masks in images.items()
        for mask in masks
    ]
    for number, annotation in enumerate(annotations, start=1):
        annotation["id"] = number
    for kind, entries in (("caption", captions), ("mask", annotations)):
        tree = {"images": image_entries, "annotations": entries, "categories": [{"id": 1}]}
        (folder / f"{split}_gcg_coco_{kind}_gt.json").write_text(json.dumps(tree))
    return folder


def write_prediction_file(folder: Path, name: str, masks: list[Mask], **fields: Any) -> Path:
    """A prediction file."""
    folder.mkdir(parents=True, exist_ok=True)
    tree = {
        "image_id": name,
        "caption": "A red ball on the floor.",
        "phrases": ["red ball"] * len(masks),
        "pred_masks": [code(mask) for mask in masks],
    } | fields
    path = folder / f"{name}.json"
    path.write_text(json.dumps(tree))
    return path


def write_similarity_table(path: Path) -> Path:
    """A similarity table for the phrases of these files."""
    path.write_text(json.dumps({"embeddings": {"red ball": [1.0, 0.0], "blue cube": [0.0, 1.0]}}))
    return path
