"""The annotations of shards as Parquet, to be asked with SQL: a file a shard, a row an image, no pixels.

Masks stay COCO run-length codes. A file carries the checksum of its shard, so that only what changed is written again.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from glamm.data.preparation.prepare import MANIFEST, SPLITS
from glamm.data.shards.reader import ShardReader
from glamm.errors import DataError
from glamm.geometry import masks
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
"""`row` counts within the split, as `ShardReader` does; `area` in pixels, null without a mask; `mask` are the counts of
a COCO run-length code of `height` x `width`; `text` is what the assistant says, null where targets are asked for."""


def write_store(shards: Path, out: Path) -> tuple[int, int]:
    """Write the annotations of every split.

    Args:
        shards: Folder that `glamm data prepare` wrote.
        out: Gets `<split>/<shard>.parquet`; files of shards that are no more are removed.

    Returns:
        How many files were written, and how many were still right.

    Raises:
        DataError: `shards` was not prepared, or is damaged.
    """
    checksums = _checksums(shards)
    written = kept = 0
    for split in SPLITS:
        if not (shards / split).is_dir():
            continue
        reader = ShardReader(shards / split)
        folder = out / split
        folder.mkdir(parents=True, exist_ok=True)
        known: set[str] = set()
        first = 0
        for name, count in reader.chunks:
            path = folder / f"{Path(name).stem}.parquet"
            known.add(path.name)
            metadata = {_SHARD_KEY: f"{checksums[f'{split}/{name}']}/{first}".encode()}
            if _is_of(path, metadata[_SHARD_KEY]):
                kept += 1
            else:
                rows = [_row(reader[row], name, row) for row in range(first, first + count)]
                _write(path, rows, metadata)
                written += 1
            first += count
        for path in folder.glob("*.parquet"):
            if path.name not in known:
                path.unlink()
    return written, kept


def _checksums(shards: Path) -> dict[str, str]:
    path = shards / MANIFEST
    try:
        files = json.loads(path.read_text(encoding="utf-8"))["files"]
        return {name: file["sha256"] for name, file in files.items()}
    except FileNotFoundError as error:
        raise DataError("is missing: run glamm data prepare", file=path) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"is damaged ({error!r}): run glamm data prepare again", file=path
        ) from error


def _is_of(path: Path, checksum: bytes) -> bool:
    try:
        metadata: dict[bytes, bytes] = parquet.read_schema(path).metadata or {}
    except (OSError, pa.ArrowInvalid):
        return False
    return metadata.get(_SHARD_KEY) == checksum


def _write(path: Path, rows: list[dict[str, Any]], metadata: dict[bytes, bytes]) -> None:
    table = pa.Table.from_pylist(rows, schema=SCHEMA.with_metadata(metadata))
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.unfinished")
    parquet.write_table(table, unfinished, compression="zstd")
    unfinished.replace(path)


def _row(samples: tuple[Sample, ...], shard: str, row: int) -> dict[str, Any]:
    first = samples[0]
    return {
        "image": first.image.key,
        "dataset": first.dataset,
        "split": first.split,
        "height": first.image.size[0],
        "width": first.image.size[1],
        "license": first.image.license,
        "shard": shard,
        "row": row,
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
    said = [turn.text for turn in sample.turns if turn.role == "assistant" and turn.text]
    return {
        "sample_id": sample.sample_id,
        "task": sample.task.value,
        "text": "\n".join(said) if sample.turns else None,
        "phrases": [{"text": text, "object_ids": list(ids)} for text, ids in phrases_of(sample)],
    }


def phrases_of(sample: Sample) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Words that are tied to objects: phrases of a conversation, then expressions and classes asked for."""
    for turn in sample.turns:
        for span in turn.spans:
            if turn.text and span.kind is not SpanKind.SEG_ONLY:
                yield turn.text[span.start : span.end], span.object_ids
    for target in sample.targets:
        yield target.text, target.object_ids
