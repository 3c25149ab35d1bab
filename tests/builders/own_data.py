"""Small data sets in the layouts of people's own data: COCO, LabelMe, CVAT and this project's JSON lines."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from glamm.data.preparation.check import CheckedRecord
from glamm.data.preparation.read_checked import read_checked
from glamm.data.readers.registry import READERS_BY_NAME
from glamm.data.record import Record
from glamm.geometry import masks
from glamm.structures.issue import Issue
from glamm.structures.sample import Sample
from tests.builders.data import FORMATS, SIZE, jpeg

SQUARE = [2, 2, 12, 2, 12, 12, 2, 12]
TRIANGLE = [20, 2, 30, 2, 30, 18]


def _images(folder: Path, number: int = 3) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(number):
        (folder / f"{index}.jpg").write_bytes(jpeg(seed=index))


def _write(path: Path, value: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def coco_root(root: Path) -> Path:
    """Three images: two with instances, captions for all."""
    _images(root / "images")
    images = [
        {"id": index, "file_name": f"{index}.jpg", "height": SIZE[0], "width": SIZE[1]}
        for index in range(3)
    ]
    annotations = [
        {"id": 10, "image_id": 0, "category_id": 1, "segmentation": [SQUARE], "bbox": [2, 2, 10, 10]},
        {"id": 11, "image_id": 0, "category_id": 1, "segmentation": [TRIANGLE]},
        {"id": 12, "image_id": 1, "category_id": 2, "segmentation": [TRIANGLE], "iscrowd": 1},
    ]  # fmt: skip
    categories = [{"id": 1, "name": "cup"}, {"id": 2, "name": "spoon"}]
    captions = [
        {"id": index, "image_id": index, "caption": f"Image {index}. "} for index in range(3)
    ]
    _write(
        root / "annotations/instances_train.json",
        {"images": images[:2], "annotations": annotations, "categories": categories},
    )
    _write(root / "annotations/captions_train.json", {"images": images, "annotations": captions})
    return root


def labelme_root(root: Path) -> Path:
    """Three files beside their images; two shapes of one group are one object."""
    _images(root)
    pairs = [[x, y] for x, y in zip(SQUARE[::2], SQUARE[1::2], strict=True)]
    shapes = [
        {"label": "cup", "points": pairs, "group_id": 1, "shape_type": "polygon"},
        {"label": "cup", "points": [[14, 2], [18, 10]], "group_id": 1, "shape_type": "rectangle"},
        {"label": "cup", "points": [[24, 14], [24, 18]], "group_id": None, "shape_type": "circle"},
        {"label": "spoon", "points": [[1, 1], [9, 9]], "shape_type": "line"},
    ]
    for index in range(3):
        content = {
            "version": "5.4.1",
            "shapes": shapes,
            "imagePath": f"{index}.jpg",
            "imageData": None,
            "imageHeight": SIZE[0],
            "imageWidth": SIZE[1],
        }
        _write(root / f"{index}.json", content)
    return root


def labelme_shapes_root(
    root: Path, *shapes: object, size: tuple[int, int] = (80, 100), **fields: object
) -> Path:
    """One image of 80 x 100 pixels with these shapes, in a file as LabelMe 6 writes it."""
    (root / "a.jpg").write_bytes(jpeg(size))
    content = {
        "version": "6.3.1",
        "flags": {},
        "shapes": shapes,
        "imagePath": "a.jpg",
        "imageData": None,
        "imageHeight": size[0],
        "imageWidth": size[1],
    }
    (root / "a.json").write_text(json.dumps(content | fields), encoding="utf-8")
    return root


def labelme_shape(
    kind: str | None, points: list[list[float]], **fields: object
) -> dict[str, object]:
    """A shape as LabelMe 6 writes it."""
    others = {"label": "thing", "group_id": None, "description": "", "flags": {}, "mask": None}
    return others | {"shape_type": kind, "points": points} | fields


CVAT_SHAPES = """
    <box label="cup" xtl="2" ytl="2" xbr="12" ybr="12" occluded="0" z_order="0"/>
    <polygon label="cup" points="20.0,2.0;30.0,2.0;30.0,18.0" group_id="1"/>
    <mask label="spoon" rle="1,2,1,3,1" left="4" top="20" width="4" height="2"/>
    <polyline label="edge" points="1,1;5,5"/>"""


def cvat_root(root: Path) -> Path:
    """Two images for training, one for validation."""
    _images(root / "images")
    images = "".join(
        f'<image id="{index}" name="{index}.jpg" width="{SIZE[1]}" height="{SIZE[0]}"'
        f"{' subset=' + chr(34) + 'Validation' + chr(34) if index == 2 else ''}>{CVAT_SHAPES}</image>"
        for index in range(3)
    )
    text = f'<?xml version="1.0" encoding="utf-8"?><annotations><version>1.1</version>{images}</annotations>'
    (root / "annotations.xml").write_text(text, encoding="utf-8")
    return root


def jsonl_lines() -> list[dict[str, object]]:
    """One line per task."""
    objects = [
        {"id": 1, "segmentation": [SQUARE], "labels": ["cup"]},
        {"id": 2, "segmentation": [TRIANGLE], "bbox": [20, 2, 30, 18]},
    ]
    boxes = [{"id": 1, "bbox": [2, 2, 12, 12]}, {"id": 2, "bbox": [20, 2, 30, 18]}]
    image = {"file": "0.jpg", "height": SIZE[0], "width": SIZE[1]}
    text = "A cup and a spoon."
    spans = [
        {"start": 0, "end": 5, "object_ids": [1]},
        {"start": 10, "end": 17, "object_ids": [2]},
    ]
    question = {"role": "user", "text": None}
    return [
        {"task": "gcg", "image": image, "objects": objects,
         "turns": [question, {"role": "assistant", "text": text, "spans": spans}]},
        {"task": "refseg", "image": image, "objects": objects,
         "targets": [{"text": "the cup", "object_ids": [1]}, {"text": "a plate", "object_ids": []}]},
        {"task": "region_caption", "image": {"file": "1.jpg"}, "objects": boxes,
         "targets": [{"text": "a cup", "object_ids": [1]}]},
        {"task": "caption", "image": {"file": "1.jpg"}, "sample_id": "named",
         "turns": [question, {"role": "assistant", "text": text}]},
        {"task": "vqa", "image": {"file": "2.jpg"},
         "turns": [{"role": "user", "text": "What is it?"}, {"role": "assistant", "text": "A cup."}]},
        {"task": "phrase_ground", "image": {"file": "2.jpg"}, "objects": boxes,
         "turns": [{"role": "user", "text": "What is here?",
                    "spans": [{"start": 8, "end": 12, "kind": "region", "object_ids": [2]}]},
                   {"role": "assistant", "text": "A spoon."}]},
    ]  # fmt: skip


def jsonl_root(root: Path) -> Path:
    """All lines in `train.jsonl`."""
    _images(root / "images")
    text = "".join(json.dumps(line) + "\n" for line in jsonl_lines())
    (root / "train.jsonl").write_text(text, encoding="utf-8")
    return root


OWN = {"coco": coco_root, "labelme": labelme_root, "cvat": cvat_root, "jsonl": jsonl_root}


def read_records(name: str, root: Path, split: str | None = None) -> tuple[list[Record], list[str]]:
    """The checked records of a data set, and its issues as they are shown."""
    items = list(read_checked(READERS_BY_NAME[name], root, split))
    records = [item.record for item in items if isinstance(item, CheckedRecord)]
    return records, [str(item) for item in items if isinstance(item, Issue)]


def areas_by_text(sample: Sample) -> dict[str, int]:
    """Number of pixels that the objects of each target have."""
    areas = {obj.id: masks.area(obj.mask) for obj in sample.objects if obj.mask}
    return {target.text: sum(areas[i] for i in target.object_ids) for target in sample.targets}


def copy_format(name: str, root: Path) -> Path:
    """A copy of one of the data sets in `tests/goldens/data/formats`, which a test may change."""
    shutil.copytree(FORMATS / name / "root", root, dirs_exist_ok=True)
    return root


def edit_json(path: Path, edit: Callable[[Any], None]) -> None:
    """Change the content of a JSON file in place."""
    content = json.loads(path.read_text(encoding="utf-8"))
    edit(content)
    path.write_text(json.dumps(content), encoding="utf-8")
