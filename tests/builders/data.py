"""Small data sets and samples for tests about data."""

import io
import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from glamm.config.data import PrepareConfig
from glamm.data.shards.writer import ShardWriter
from glamm.geometry import masks
from glamm.structures.issue import Location
from glamm.structures.manifest import FileEntry, LeftOut, PrepareManifest
from glamm.structures.sample import (
    ImageRef,
    Mask,
    Obj,
    Sample,
    Span,
    SpanKind,
    Target,
    Task,
    Turn,
)

FORMATS = Path(__file__).parents[1] / "goldens/data/formats"
BAD_FORMATS = Path(__file__).parents[1] / "goldens/data/formats_bad"
SIZE = (24, 32)
LOCATION = Location("annotations.json", "1")


def rectangle(x1: int, y1: int, x2: int, y2: int, size: tuple[int, int] = SIZE) -> Mask:
    pixels = np.zeros(size, dtype=bool)
    pixels[y1:y2, x1:x2] = True
    return masks.encode(pixels)


def obj(number: int, x1: int, y1: int, x2: int, y2: int, **more) -> Obj:
    box = (float(x1), float(y1), float(x2), float(y2))
    return Obj(id=number, box=box, mask=rectangle(x1, y1, x2, y2), **more)


def jpeg(size: tuple[int, int] = SIZE, *, seed: int = 0, orientation: int | None = None) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    exif = Image.Exif()
    if orientation:
        exif[0x0112] = orientation
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=95, exif=exif.tobytes())
    return file.getvalue()


OBJECTS = (obj(0, 2, 3, 10, 12), obj(1, 8, 8, 20, 20), obj(5, 25, 0, 32, 4))


def image(seed: int = 0) -> ImageRef:
    return ImageRef(key=f"image{seed}.jpg", size=SIZE, data=jpeg(seed=seed))


def grounded(name: str = "talk", *, seed: int = 0, **more) -> Sample:
    text = "A cube by two balls."
    spans = (Span(0, 6, SpanKind.SEG, (0,)), Span(10, 19, SpanKind.SEG, (1, 5)))
    values = {
        "sample_id": f"toy/train/{seed}/{name}",
        "task": Task.GROUNDED_CONVERSATION,
        "dataset": "toy",
        "split": "train",
        "image": image(seed),
        "objects": OBJECTS,
        "turns": (Turn("user", None), Turn("assistant", text, spans)),
    }
    return Sample(**(values | more))


def referring(*, seed: int = 0) -> Sample:
    targets = tuple(
        Target(f"thing {index}", ids) for index, ids in enumerate([(0,), (1, 5), (), (5,)])
    )
    return grounded("refer", seed=seed, task=Task.REFERRING_SEGMENTATION, turns=(), targets=targets)


def regions(*, seed: int = 0) -> Sample:
    targets = tuple(Target(f"thing {number}", (number,)) for number in (0, 1, 5))
    return grounded("region", seed=seed, task=Task.REGION_CAPTIONING, turns=(), targets=targets)


def caption(*, seed: int = 0) -> Sample:
    turns = (Turn("user", None), Turn("assistant", "Three things."))
    return grounded("caption", seed=seed, task=Task.IMAGE_CAPTIONING, turns=turns)


def image_samples(seed: int = 0) -> tuple[Sample, ...]:
    """Samples of every task group about one image, two of them grounded conversations."""
    return (
        grounded(seed=seed),
        grounded("second", seed=seed),
        referring(seed=seed),
        regions(seed=seed),
        caption(seed=seed),
    )


def write_shards(folder: Path, seeds: Iterable[int], *, shard_bytes: int = 1 << 20) -> None:
    """Write one split: an image with `image_samples` for each seed."""
    writer = ShardWriter(folder, shard_bytes=shard_bytes)
    for seed in seeds:
        samples = image_samples(seed)
        writer.add(samples, jpeg(seed=seed))
    writer.close()


def prepare_manifest(checksums: dict[str, str]) -> PrepareManifest:
    """A manifest of shards whose files have these checksums."""
    return PrepareManifest(
        parameters=PrepareConfig(),
        datasets=(),
        counts={},
        blocks={},
        left_out=LeftOut(records={}, parts={}),
        files={name: FileEntry(num_bytes=1, sha256=value) for name, value in checksums.items()},
    )


def human_annotated_root(root: Path, *, count: int = 5) -> Path:
    """A GranD-f training set; returns its annotation file."""
    images = root / "GranDf_HA_images/train"
    images.mkdir(parents=True)
    mask = rectangle(2, 3, 10, 12)
    records = []
    for index in range(count):
        (images / f"sa_{index}.jpg").write_bytes(jpeg(seed=index))
        code = {"size": list(mask.size), "counts": mask.counts.decode()}
        groundings = {"A cube": {"token_positives": [0, 6], "rle_masks": [code]}}
        records.append(
            {
                "file_name": f"sa_{index}.jpg",
                "caption": f"A cube, number {index}.",
                "groundings": groundings,
            }
        )
    path = root / "GranDf/annotations/train/GranDf_HA_GCG_train.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(records))
    return path
