"""COCO's captions of 2017: about five an image.

Source: spec of captions (B.2.6).
"""

from collections.abc import Iterator
from pathlib import Path

from glamm.data.parsing.coco_json import read_coco
from glamm.data.parsing.dataset_paths import find_file
from glamm.data.readers.captions import read_captions
from glamm.data.record import Record
from glamm.structures.issue import Issue

NAME = "coco_captions_2017"
SPLITS = ("train", "val")


def _files(split: str) -> tuple[str, ...]:
    return (f"coco_2017/annotations/captions_{split}2017.json",)


def is_in(root: Path) -> bool:
    """Whether the data set is below a folder."""
    return any(find_file(root, _files(split)) for split in SPLITS)


def read(root: Path, split: str) -> Iterator[Record | Issue]:
    """Yield a record an image with a sample a caption.

    Upstream: the release draws a random annotation whatever index it was asked for.
    """
    path = find_file(root, _files(split))
    if path is None:
        return
    content = read_coco(root, path)
    yield from content.findings
    images = (f"coco_2017/{split}2017", "coco_2017/train2017", "coco_2017/val2017")
    yield from read_captions(root, content, images, name=NAME, split=split)
