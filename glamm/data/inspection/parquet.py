"""Exports the annotations of shards as Parquet, to be queried with SQL: one file for each shard, one row for each image.

Masks stay COCO run-length codes; pixels are not exported. A file holds the checksum of its shard, so that only files of
changed shards are written again.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from glamm.data.shards.reader import ShardReader
from glamm.files import replacing
from glamm.geometry import masks
from glamm.structures.manifest import MANIFEST_FILE, SPLITS, PrepareManifest
from glamm.structures.sample import Obj, Sample, SpanKind

_SHARD_KEY = b"shard_sha256"
_TEXTS = pa.list_(pa.string())
_OBJECT = pa.struct(
    {
        "id": pa.int64(),
        "x1": pa.float64(),
        "y1": pa.float64(),
        "x2": pa.float64(),
        "y2": pa.float64(),
        "area": pa.int64(),
        "mask": pa.binary(),
        "labels": _TEXTS,
        "attributes": _TEXTS,
        "score": pa.float64(),
        "depth": pa.float64(),
        "source": pa.string(),
        "is_crowd": pa.bool_(),
    }
)
_PHRASE = pa.struct({"text": pa.string(), "object_ids": pa.list_(pa.int64())})
_SAMPLE = pa.struct(
    {
        "sample_id": pa.string(),
        "task": pa.string(),
        "text": pa.string(),
        "phrases": pa.list_(_PHRASE),
    }
)
SCHEMA = pa.schema(
    {
        "image": pa.string(),
        "dataset": pa.string(),
        "split": pa.string(),
        "height": pa.int32(),
        "width": pa.int32(),
        "license": pa.string(),
        "shard": pa.string(),
        "row": pa.int64(),
        "objects": pa.list_(_OBJECT),
        "samples": pa.list_(_SAMPLE),
    }
)
"""Columns of the files.

| column | meaning |
|---|---|
| shard | filename of the shard |
| row | index of the image in its split, as in `ShardReader` |
| objects.x1, y1, x2, y2 | box in pixels |
| objects.area | of the mask in pixels; null without a mask |
| objects.mask | counts of a COCO run-length code of `height` x `width` |
| samples.text | what the assistant says, one line for each turn; null for samples with targets |
"""


def export_annotations(shards: Path, out: Path) -> tuple[int, int]:
    """Write the annotations of every split.

    Args:
        shards: Folder that `glamm data prepare` wrote.
        out: Gets `<split>/<shard>.parquet`; files of shards that no longer exist are removed.

    Returns:
        Number of files written, and number of files kept because their shard has not changed.

    Raises:
        DataError: `shards` was not prepared, or is damaged.
    """
    checksums = PrepareManifest.load(shards / MANIFEST_FILE).checksums
    num_written = num_kept = 0
    for split in SPLITS:
        if not (shards / split).is_dir():
            continue
        reader = ShardReader(shards / split)
        folder = out / split
        folder.mkdir(parents=True, exist_ok=True)
        filenames: set[str] = set()
        first = 0
        for shard, num_images in reader.shards:
            path = folder / f"{Path(shard).stem}.parquet"
            filenames.add(path.name)
            metadata = {_SHARD_KEY: f"{checksums[f'{split}/{shard}']}/{first}".encode()}
            if _is_up_to_date(path, metadata[_SHARD_KEY]):
                num_kept += 1
            else:
                indices = range(first, first + num_images)
                _write(path, [_image(reader[index], shard, index) for index in indices], metadata)
                num_written += 1
            first += num_images
        for path in folder.glob("*.parquet"):
            if path.name not in filenames:
                path.unlink()
    return num_written, num_kept


def _is_up_to_date(path: Path, shard_key: bytes) -> bool:
    try:
        metadata: dict[bytes, bytes] = parquet.read_schema(path).metadata or {}
    except (OSError, pa.ArrowInvalid):
        return False
    return metadata.get(_SHARD_KEY) == shard_key


def _write(path: Path, images: list[dict[str, Any]], metadata: dict[bytes, bytes]) -> None:
    table = pa.Table.from_pylist(images, schema=SCHEMA.with_metadata(metadata))
    with replacing(path, tag=f".{os.getpid()}") as unfinished:
        parquet.write_table(table, unfinished, compression="zstd")


def _image(samples: tuple[Sample, ...], shard: str, index: int) -> dict[str, Any]:
    first = samples[0]
    return {
        "image": first.image.key,
        "dataset": first.dataset,
        "split": first.split,
        "height": first.image.size[0],
        "width": first.image.size[1],
        "license": first.image.license,
        "shard": shard,
        "row": index,
        "objects": [_object(obj) for obj in first.objects],
        "samples": [_sample(sample) for sample in samples],
    }


def _object(obj: Obj) -> dict[str, Any]:
    x1, y1, x2, y2 = obj.box
    return {
        "id": obj.id,
        "x1": x1,
        "y1": y1,
        "x2": x2,
        "y2": y2,
        "area": masks.area(obj.mask) if obj.mask else None,
        "mask": obj.mask.counts if obj.mask else None,
        "labels": list(obj.labels),
        "attributes": list(obj.attributes),
        "score": obj.score,
        "depth": obj.depth,
        "source": obj.source,
        "is_crowd": obj.is_crowd,
    }


def _sample(sample: Sample) -> dict[str, Any]:
    answers = [turn.text for turn in sample.turns if turn.role == "assistant" and turn.text]
    return {
        "sample_id": sample.sample_id,
        "task": sample.task.value,
        "text": "\n".join(answers) if sample.turns else None,
        "phrases": [{"text": text, "object_ids": list(ids)} for text, ids in phrases_of(sample)],
    }


def phrases_of(sample: Sample) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Text that refers to objects, with their ids: phrases of a conversation, then the texts of targets."""
    for turn in sample.turns:
        for span in turn.spans:
            if turn.text and span.kind is not SpanKind.SEG_ONLY:
                yield turn.text[span.start : span.end], span.object_ids
    for target in sample.targets:
        yield target.text, target.object_ids
