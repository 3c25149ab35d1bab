"""Writes a data set of scenes in the official layouts: GranD pretraining, GranD-f training, validation and test.

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
from glamm.files import write_bytes
from glamm.process_pool import OrderedMap, worker_pool
from glamm.synthetic import records
from glamm.synthetic.drawn import draw_scene
from glamm.synthetic.files import claim_output_dir, write_json, write_pickle
from glamm.synthetic.image_pool import ImagePools, open_image_pools
from glamm.synthetic.pasted import paste_scene
from glamm.synthetic.records import JsonObject
from glamm.synthetic.scene import BgrImage, Scene

GENERATOR_VERSION = 3
"""Incremented when a seed gives other images or texts, so that old and new scenes are never mixed in a folder."""

_BATCH = 16  # scenes that a worker makes in one call


class Split(StrEnum):
    """Splits of a data set; they share no scene."""

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
class SceneTask:
    """Everything that a worker needs to make any scene of a data set."""

    out: Path
    config: SynthConfig
    pools: ImagePools | None

    def draw(self, rng: np.random.Generator, split: Split) -> Scene:
        """Draw or paste the scene of this random stream."""
        side, max_objects = self.config.image_size, self.config.max_objects
        if self.pools is None or rng.random() < self.config.drawn_share:
            return draw_scene(rng, side=side, max_objects=max_objects)
        of_split = {Split.VAL: self.pools.val, Split.TEST: self.pools.test}
        pool = of_split.get(split, self.pools.train)
        return paste_scene(rng, pool, side=side, max_objects=max_objects)


def write_dataset(
    out: Path, config: SynthConfig, *, workers: int, advance: Callable[[int], None] = lambda _: None
) -> None:
    """Write a data set, or finish one that was interrupted.

    Args:
        out: A new or empty folder, or one that a run with the same parameters began.
        config: Number, size and content of the scenes.
        workers: Number of processes; the bytes do not depend on it.
        advance: Called with the number of scenes that have just been finished.

    Raises:
        DataError: The folder contains other files.
        OSError: The disk is full. Finished scenes stay, and the same command continues.
    """
    expected = _expected(config)
    with worker_pool(workers, initializer=_use_one_thread) as ordered_map:
        pools = _open_pools(config, ordered_map=ordered_map)
        claim_output_dir(out, stamp=_stamp(config, pools), expected=expected)
        for folder in {Path(name).parent for name in expected}:
            (out / folder).mkdir(parents=True, exist_ok=True)
        task = SceneTask(out, config, pools)
        for split in Split:
            _write_split(task, split, ordered_map=ordered_map, advance=advance)


def count_scenes(config: SynthConfig) -> int:
    """Number of scenes in all splits."""
    return sum(_count(config, split) for split in Split)


def scene_rng(config: SynthConfig, split: Split, index: int) -> np.random.Generator:
    """The random stream of one scene; no other scene of any split shares it."""
    return np.random.default_rng([config.seed, _STREAM[split], index])


def stem(split: Split, index: int) -> str:
    """File name of an image without suffix; the names sort in the order of the indices."""
    return f"sa_{_FIRST_NUMBER[split] + index}"


def _count(config: SynthConfig, split: Split) -> int:
    counts = {
        Split.GRAND: config.num_grand,
        Split.TRAIN: config.num_train,
        Split.VAL: config.num_val,
        Split.TEST: config.num_test,
    }
    return counts[split]


def _open_pools(config: SynthConfig, *, ordered_map: OrderedMap) -> ImagePools | None:
    if config.cutouts is None or config.backgrounds is None:
        return None
    return open_image_pools(config.cutouts, config.backgrounds, ordered_map=ordered_map)


def _stamp(config: SynthConfig, pools: ImagePools | None) -> dict[str, Any]:
    # folders may move: only their content counts
    values = config.model_dump(mode="json", exclude={"cutouts", "backgrounds"})
    # the keys are those of the data sets that exist
    return {"drawing": GENERATOR_VERSION, **values, "pictures": pools.digest if pools else None}


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


def _write_split(
    task: SceneTask, split: Split, *, ordered_map: OrderedMap, advance: Callable[[int], None]
) -> None:
    count = _count(task.config, split)
    missing = [index for index in range(count) if not _is_done(task.out, split, index)]
    if split is not Split.GRAND and (missing or not count):
        missing = list(range(count))  # one file describes all scenes and is written as a whole
    advance(count - len(missing))
    batches = [missing[begin : begin + _BATCH] for begin in range(0, len(missing), _BATCH)]
    scenes: list[JsonObject] = []
    for batch in ordered_map(partial(_make_scenes, task, split), batches):
        advance(len(batch))
        scenes += batch
    if split is Split.GRAND or (count and not missing):
        return
    files = [scenes] if split is Split.TRAIN else records.coco_files(scenes)
    for name, value in zip(_annotations(split), files, strict=False):
        write_json(task.out / name, value)
    if split is Split.VAL:
        instances, refs = records.referring_files(scenes, split=split)
        write_json(task.out / _REFERRING_FILES[0], instances)
        write_pickle(task.out / _REFERRING_FILES[1], refs)


def _is_done(out: Path, split: Split, index: int) -> bool:
    name = stem(split, index)
    annotations = (
        [f"{_GRAND_ANNOTATIONS}/{name}.json"] if split is Split.GRAND else _annotations(split)
    )
    return all((out / path).exists() for path in [f"{_IMAGES[split]}/{name}.jpg", *annotations])


def _make_scenes(task: SceneTask, split: Split, indices: list[int]) -> list[JsonObject]:
    return [_make_scene(task, split, index) for index in indices]


def _make_scene(task: SceneTask, split: Split, index: int) -> JsonObject:
    rng = scene_rng(task.config, split, index)
    scene = task.draw(rng, split)
    name = stem(split, index)
    image = _jpeg(scene.image, task.config.jpeg_quality)
    write_bytes(task.out / _IMAGES[split] / f"{name}.jpg", image)
    if split is Split.VAL:  # RefCOCOg's images have a folder of their own
        write_bytes(task.out / _REFERRING_IMAGES / f"{name}.jpg", image)
    if split is Split.TRAIN:
        return records.train_record(scene, f"{name}.jpg", rng=rng)
    if split is Split.GRAND:
        # the annotation comes last: where it exists, the scene is finished
        record = {f"{name}.jpg": records.grand_record(scene, rng=rng)}
        write_json(task.out / _GRAND_ANNOTATIONS / f"{name}.json", record)
        return {}
    return records.evaluation_record(scene, name, rng=rng)


def _jpeg(image: BgrImage, quality: int) -> bytes:
    _, code = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return code.tobytes()


def _use_one_thread() -> None:
    cv2.setNumThreads(1)


def default_workers() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0))
