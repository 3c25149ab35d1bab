"""COCO files and images laid out as annotation tools export them."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

SIZE = (40, 60)
BOX = [5, 8, 20, 12]  # left, top, width, height
X1, Y1, X2, Y2 = 5, 8, 25, 20
RED, BLUE = (200, 30, 30), (30, 30, 200)

INFO = {
    "roboflow": {"description": "Exported from roboflow.com", "year": "2026"},
    "fiftyone": {"description": "Exported from FiftyOne", "url": "https://voxel51.com/fiftyone"},
    "label studio": {"contributor": "Label Studio", "version": "1.0"},
    "cvat": {"contributor": "", "date_created": "", "description": ""},
}


def write_image(path: Path, color=RED) -> None:
    """A gray image with an object of this color; its pixels tell it from others."""
    pixels = np.full((*SIZE, 3), 120, dtype=np.uint8)
    pixels[Y1:Y2, X1:X2] = color
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, quality=100, subsampling=0)


def annotation(number: int, **fields) -> dict:
    polygon = [[X1, Y1, X2, Y1, X2, Y2, X1, Y2]]
    return {
        "id": number,
        "image_id": number,
        "category_id": 1,
        "bbox": BOX,
        "area": 240,
        "segmentation": polygon,
        "iscrowd": 0,
    } | fields


def write_coco(path: Path, *names: str, info: dict | None = None, **fields) -> None:
    """A file that annotates an object in each of the images."""
    content = {
        "info": info or {},
        "categories": [
            {"id": 0, "name": "things", "supercategory": "none"},
            {"id": 1, "name": "thing", "supercategory": "things"},
        ],
        "images": [
            {"id": number, "file_name": name, "height": SIZE[0], "width": SIZE[1]}
            for number, name in enumerate(names)
        ],
        "annotations": [annotation(number, **fields) for number in range(len(names))],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def roboflow(root):
    for split in ("train", "valid", "test"):
        write_image(root / f"{split}/IMG_1_jpg.rf.0a.jpg")
        write_coco(root / f"{split}/_annotations.coco.json", "IMG_1_jpg.rf.0a.jpg")
    (root / "README.roboflow.txt").write_text("")
    name = "IMG_1_jpg.rf.0a.jpg"
    return {"train": [f"train/{name}"], "val": [f"valid/{name}"], "test": [f"test/{name}"]}


def roboflow_without_splits(root):
    write_image(root / "train/a.jpg")
    write_coco(root / "train/_annotations.coco.json", "a.jpg")
    return {"train": ["train/a.jpg"]}


def fiftyone(root):
    write_image(root / "data/000001.jpg")
    write_coco(root / "labels.json", "000001.jpg", info=INFO["fiftyone"])
    return {"train": ["data/000001.jpg"]}


def fiftyone_by_split(root):
    for split in ("train", "validation"):
        write_image(root / split / "data/000001.jpg")
        write_coco(root / split / "labels.json", "000001.jpg", info=INFO["fiftyone"])
    return {"train": ["train/data/000001.jpg"], "val": ["validation/data/000001.jpg"]}


def fiftyone_labels_by_split(root):
    for split in ("train", "val"):
        write_image(root / "data" / split / "1.jpg")
        write_coco(root / f"labels/{split}.json", "1.jpg", info=INFO["fiftyone"])
    return {"train": ["data/train/1.jpg"], "val": ["data/val/1.jpg"]}


def label_studio(root):
    write_image(root / "images/0a1b2c3d-a.jpg")
    write_coco(root / "result.json", "images/0a1b2c3d-a.jpg", info=INFO["label studio"])
    return {"train": ["images/0a1b2c3d-a.jpg"]}


def label_studio_on_windows(root):
    write_image(root / "images/0a1b2c3d-a.jpg")
    write_coco(root / "result_coco.json", r"images\0a1b2c3d-a.jpg", info=INFO["label studio"])
    return {"train": ["images/0a1b2c3d-a.jpg"]}


def cvat(root):
    write_image(root / "images/default/f1.jpg")
    write_image(root / "images/default/street/f 2.jpg")
    write_coco(root / "annotations/instances_default.json", "f1.jpg", "street/f 2.jpg")
    return {"train": ["images/default/f1.jpg", "images/default/street/f 2.jpg"]}


def cvat_with_flat_images(root):
    write_image(root / "images/f1.jpg")
    write_coco(root / "annotations/instances_default.json", "f1.jpg")
    return {"train": ["images/f1.jpg"]}


def cvat_keypoints(root):
    write_image(root / "images/default/f1.jpg")
    write_coco(root / "annotations/person_keypoints_default.json", "f1.jpg", keypoints=[9, 9, 2])
    return {"train": ["images/default/f1.jpg"]}


def cvat_project(root):
    for subset in ("Train", "Validation", "batch_7"):
        write_image(root / f"images/{subset}/frame_000000.jpg")
        write_coco(root / f"annotations/instances_{subset}.json", "frame_000000.jpg")
    return {
        "train": ["images/Train/frame_000000.jpg", "images/batch_7/frame_000000.jpg"],
        "val": ["images/Validation/frame_000000.jpg"],
    }


def cvat_task_by_split(root):
    for split in ("train", "test"):
        write_image(root / split / "images/default/f1.jpg")
        write_coco(root / split / "annotations/instances_default.json", "f1.jpg")
    return {"train": ["train/images/default/f1.jpg"], "test": ["test/images/default/f1.jpg"]}


def coco_2017(root):
    for split in ("train", "val"):
        write_image(root / f"{split}2017/1.jpg")
        write_coco(root / f"annotations/instances_{split}2017.json", "1.jpg")
    return {"train": ["train2017/1.jpg"], "val": ["val2017/1.jpg"]}


def coco_2014(root):
    for split in ("train", "val"):
        write_image(root / f"{split}2014/COCO_{split}2014_1.jpg")
        write_coco(root / f"annotations/instances_{split}2014.json", f"COCO_{split}2014_1.jpg")
    return {
        "train": ["train2014/COCO_train2014_1.jpg"],
        "val": ["val2014/COCO_val2014_1.jpg"],
    }


def file_per_split_in_the_root(root):
    for split in ("train", "val"):
        write_image(root / f"images/{split}_1.jpg")
        write_coco(root / f"{split}.json", f"{split}_1.jpg")
    return {"train": ["images/train_1.jpg"], "val": ["images/val_1.jpg"]}


def images_in_folders_named_by_the_file(root):
    for split in ("train", "val"):
        write_image(root / f"images/{split}/1.jpg")
        write_coco(root / f"annotations/{split}_annotations.json", f"{split}/1.jpg")
    return {"train": ["images/train/1.jpg"], "val": ["images/val/1.jpg"]}


def labelme2coco(root):
    write_image(root / "JPEGImages/a.jpg")
    write_coco(root / "annotations.json", "JPEGImages/a.jpg")
    return {"train": ["JPEGImages/a.jpg"]}


LAYOUTS = [
    roboflow,
    roboflow_without_splits,
    fiftyone,
    fiftyone_by_split,
    fiftyone_labels_by_split,
    label_studio,
    label_studio_on_windows,
    cvat,
    cvat_with_flat_images,
    cvat_keypoints,
    cvat_task_by_split,
    coco_2017,
    coco_2014,
    file_per_split_in_the_root,
    images_in_folders_named_by_the_file,
    labelme2coco,
]
