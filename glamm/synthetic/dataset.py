"""Writes a data set of scenes as the official files: GranD pretraining, GranD-f training, validation, test.

Source: the folders are those of the release's documentation (GranD_Data/images, GranDf_HA_images/...).
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from glamm.config.synthetic import SynthConfig
from glamm.synthetic import records
from glamm.synthetic.drawn import draw_scene
from glamm.synthetic.files import claim, write_json, write_pickle, write_whole
from glamm.synthetic.image_pool import Library, open_library
from glamm.synthetic.parallel import Runner, runner
from glamm.synthetic.pasted import paste_scene
from glamm.synthetic.records import Record
from glamm.synthetic.scene import RgbImage, Scene

DRAWING = 3
"""Raised when the same seed comes to give other images or words, so that old and new are never mixed."""

_CHUNK = 16  # scenes handed to a worker at once


class Split(StrEnum):
    """Parts of a data set; no scene is in two of them."""

    GRAND = "grand"
    TRAIN = "train"
    VAL = "val"
    TEST = "test"


_FIRST_NUMBER = {
    Split.GRAND: 100_000_000,
    Split.TRAIN: 300_000_000,
    Split.VAL: 500_000_000,
    Split.TEST: 700_000_000,
}
_STREAM = {Split.GRAND: 0, Split.TRAIN: 1, Split.VAL: 2, Split.TEST: 3}
_IMAGES = {
    Split.GRAND: "GranD_Data/images",
    Split.TRAIN: "GranDf_HA_images/train",
    Split.VAL: "GranDf_HA_images/val_test",
    Split.TEST: "GranDf_HA_images/val_test",
}
_GRAND_ANNOTATIONS = "GranD/annotations"
_TRAIN_ANNOTATIONS = "GranDf/annotations/train/GranDf_HA_GCG_train.json"
_REFERRING = "Refer_Segm/refcocog"
_REFERRING_FILES = (f"{_REFERRING}/instances.json", f"{_REFERRING}/refs(umd).p")
_REFERRING_IMAGES = "coco_2014/train2014"
_EVALUATION_ANNOTATIONS = "GranDf/annotations/val_test/{split}_gcg_coco_{kind}_gt.json"


@dataclass(frozen=True, slots=True)
class Job:
    """What a worker needs to make any scene of a data set."""

    out: Path
    config: SynthConfig
    library: Library | None

    def draw(self, rng: np.random.Generator, split: Split) -> Scene:
        """Make the scene of this stream."""
        side, most = self.config.image_size, self.config.max_objects
        if self.library is None or rng.random() < self.config.drawn_share:
            return draw_scene(rng, side=side, max_objects=most)
        pools = {Split.VAL: self.library.val, Split.TEST: self.library.test}
        pool = pools.get(split, self.library.train)
        return paste_scene(rng, pool, side=side, max_objects=most)


def write_dataset(
    out: Path, config: SynthConfig, *, workers: int, advance: Callable[[int], None] = lambda _: None
) -> None:
    """Write a data set, or finish one that was interrupted.

    Args:
        out: An empty or new folder, or one that the same parameters began.
        config: What to make.
        workers: Processes; the bytes do not depend on it.
        advance: Called with the number of scenes that have just been finished.

    Raises:
        DataError: The folder holds something else.
        OSError: The disk is full; what was finished before stays good and the same command goes on.
    """
    expected = _expected(config)
    with runner(workers) as run:
        library = _library(config, run=run)
        claim(out, stamp=_stamp(config, library), expected=expected)
        for folder in {Path(name).parent for name in expected}:
            (out / folder).mkdir(parents=True, exist_ok=True)
        job = Job(out, config, library)
        for split in Split:
            _write_split(job, split, run=run, advance=advance)


def count_scenes(config: SynthConfig) -> int:
    """Scenes in all splits."""
    return sum(_count(config, split) for split in Split)


def scene_rng(config: SynthConfig, split: Split, index: int) -> np.random.Generator:
    """The stream of one scene: no two splits or scenes share one."""
    return np.random.default_rng([config.seed, _STREAM[split], index])


def stem(split: Split, index: int) -> str:
    """Name of an image without suffix; names sort as indices do."""
    return f"sa_{_FIRST_NUMBER[split] + index}"


def _count(config: SynthConfig, split: Split) -> int:
    counts = {
        Split.GRAND: config.num_grand,
        Split.TRAIN: config.num_train,
        Split.VAL: config.num_val,
        Split.TEST: config.num_test,
    }
    return counts[split]


def _library(config: SynthConfig, *, run: Runner) -> Library | None:
    if config.cutouts is None or config.backgrounds is None:
        return None
    return open_library(config.cutouts, config.backgrounds, run=run)


def _stamp(config: SynthConfig, library: Library | None) -> dict[str, Any]:
    # folders may move: what counts is what they hold
    values = config.model_dump(mode="json", exclude={"cutouts", "backgrounds"})
    return {"drawing": DRAWING, **values, "images": library.digest if library else None}


def _annotations(split: Split) -> list[str]:
    match split:
        case Split.GRAND:
            return []
        case Split.TRAIN:
            return [_TRAIN_ANNOTATIONS]
        case _:
            grounded = [
                _EVALUATION_ANNOTATIONS.format(split=split, kind=kind)
                for kind in ("caption", "mask")
            ]
            return grounded + (list(_REFERRING_FILES) if split is Split.VAL else [])


def _expected(config: SynthConfig) -> list[str]:
    names: list[str] = []
    for split in Split:
        stems = [stem(split, index) for index in range(_count(config, split))]
        names += [f"{_IMAGES[split]}/{name}.jpg" for name in stems]
        if split is Split.GRAND:
            names += [f"{_GRAND_ANNOTATIONS}/{name}.json" for name in stems]
        if split is Split.VAL:
            names += [f"{_REFERRING_IMAGES}/{name}.jpg" for name in stems]
        names += _annotations(split)
    return names


def _write_split(job: Job, split: Split, *, run: Runner, advance: Callable[[int], None]) -> None:
    count = _count(job.config, split)
    left = [index for index in range(count) if not _is_done(job.out, split, index)]
    if split is not Split.GRAND and (left or not count):
        left = list(range(count))  # one file describes them all: it is made whole or not at all
    advance(count - len(left))
    chunks = [left[begin : begin + _CHUNK] for begin in range(0, len(left), _CHUNK)]
    made: list[Record] = []
    for chunk in run(partial(_make_chunk, job, split), chunks):
        advance(len(chunk))
        made += chunk
    if split is Split.GRAND or (count and not left):
        return
    files = [made] if split is Split.TRAIN else records.coco_files(made)
    for name, value in zip(_annotations(split), files, strict=False):
        write_json(job.out / name, value)
    if split is Split.VAL:
        instances, refs = records.referring_files(made, split=split)
        write_json(job.out / _REFERRING_FILES[0], instances)
        write_pickle(job.out / _REFERRING_FILES[1], refs)


def _is_done(out: Path, split: Split, index: int) -> bool:
    name = stem(split, index)
    annotations = (
        [f"{_GRAND_ANNOTATIONS}/{name}.json"] if split is Split.GRAND else _annotations(split)
    )
    return all((out / path).exists() for path in [f"{_IMAGES[split]}/{name}.jpg", *annotations])


def _make_chunk(job: Job, split: Split, indices: list[int]) -> list[Record]:
    return [_make(job, split, index) for index in indices]


def _make(job: Job, split: Split, index: int) -> Record:
    rng = scene_rng(job.config, split, index)
    scene = job.draw(rng, split)
    name = stem(split, index)
    image = _jpeg(scene.image, job.config.jpeg_quality)
    write_whole(job.out / _IMAGES[split] / f"{name}.jpg", image)
    if split is Split.VAL:  # RefCOCOg's images have a folder of their own
        write_whole(job.out / _REFERRING_IMAGES / f"{name}.jpg", image)
    if split is Split.TRAIN:
        return records.train_record(scene, f"{name}.jpg", rng=rng)
    if split is Split.GRAND:
        # the annotation comes last: where it exists, the scene is finished
        record = {f"{name}.jpg": records.grand_record(scene, rng=rng)}
        write_json(job.out / _GRAND_ANNOTATIONS / f"{name}.json", record)
        return {}
    return records.evaluation_record(scene, name, rng=rng)


def _jpeg(image: RgbImage, quality: int) -> bytes:
    _, code = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return code.tobytes()


def default_workers() -> int:
    """Processes for the cores that this process may use."""
    return len(os.sched_getaffinity(0))
