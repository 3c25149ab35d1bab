"""Blocks of records: the unit in which a data set is prepared, kept from a former run, and done again.

A block ends where the name of an image says so, not after a fixed number, so that an image that comes or goes moves
the borders of its own block only. Its fingerprint is made from everything that decides its bytes.
"""

import hashlib
import json
import os
import shutil
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from glamm.data.preparation.check import Checked
from glamm.data.preparation.read_checked import checked
from glamm.data.record import Record, Rejection
from glamm.data.shards.writer import Chunk, Part, PartWriter
from glamm.structures.sample import SCHEMA_VERSION

BLOCKS = "blocks"
"""Folder of a split that says what is in each block."""

_VERSION = 2  # raised when the same records give other bytes
_MEAN = 128  # images of a block: some 60 MB of SA-1B's
_MOST = 256  # records of a block, so that memory is bounded whatever the names are

Item = Record | Rejection


@dataclass(frozen=True, slots=True)
class Block:
    """What came of some records that follow one another.

    Args:
        fingerprint: Of the records, their images and the parameters, in hexadecimal.
        source: Name of the data set.
        part: The rows; no files where nothing could be trained.
        images: By (split, data set).
        objects: By (split, data set).
        samples: By (split, data set, task).
        rejections: What was left out.
        is_kept: A former run wrote it.
    """

    fingerprint: str
    source: str
    part: Part
    images: Counter[tuple[str, ...]]
    objects: Counter[tuple[str, ...]]
    samples: Counter[tuple[str, ...]]
    rejections: tuple[Rejection, ...]
    is_kept: bool = False


def cut(items: Iterable[Item]) -> Iterator[list[Item]]:
    """Cut a data set's records into blocks, in their order."""
    block: list[Item] = []
    for item in items:
        block.append(item)
        if _is_border(item) or len(block) == _MOST:
            yield block
            block = []
    if block:
        yield block


def make_block(
    items: Sequence[Item], source: str, folder: Path, former: Path, shard_bytes: int
) -> Block:
    """Check records and write their shard files, unless they are already there.

    Args:
        items: A block of `cut`.
        source: Name of the data set.
        folder: Of the split, not finished; gets the files.
        former: Of the split as a former run finished it; need not exist.
        shard_bytes: Size at which a file is closed.
    """
    name = fingerprint(items, f"{_VERSION}/{SCHEMA_VERSION}/{shard_bytes}/{source}")
    for place in (folder, former):
        found = _find(place, name)
        if found:
            _bring(found, place, folder)
            return replace(found, is_kept=True)
    writer = PartWriter(folder, name=f"chunk-{name}", shard_bytes=shard_bytes)
    images, objects, samples = Counter(), Counter(), Counter()
    rejections: list[Rejection] = []
    for item in items:
        for result in checked(item):
            if isinstance(result, Rejection):
                rejections.append(result)
                continue
            writer.add(result.record.samples, result.image_bytes)
            _count(result, images, objects, samples)
    block = Block(name, source, writer.close(), images, objects, samples, tuple(rejections))
    _save(block, folder)
    return block


def fingerprint(items: Sequence[Item], parameters: str) -> str:
    """Digest of records with the bytes of their images; does not depend on where the data set lies."""
    digest = hashlib.sha256(parameters.encode())
    for item in items:
        if isinstance(item, Rejection):
            digest.update(repr(item).encode("utf-8", "surrogatepass"))
            continue
        first = item.samples[0]
        bare = [replace(s, image=replace(s.image, path=None), objects=()) for s in item.samples]
        said = repr((item.place, item.file, first.objects, bare))
        digest.update(said.encode("utf-8", "surrogatepass"))
        digest.update(_digest_of(Path(first.image.path or "")))
    return digest.hexdigest()[:32]


def _digest_of(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        return (error.strerror or "unreadable").encode()  # another fault, another finding


def _is_border(item: Item) -> bool:
    if isinstance(item, Rejection):
        return False
    key = item.samples[0].image.key
    return zlib.crc32(key.encode("utf-8", "surrogatepass")) % _MEAN == 0


def _count(
    result: Checked,
    images: Counter[tuple[str, ...]],
    objects: Counter[tuple[str, ...]],
    samples: Counter[tuple[str, ...]],
) -> None:
    first = result.record.samples[0]
    images[first.split, first.dataset] += 1
    objects[first.split, first.dataset] += len(first.objects)
    for sample in result.record.samples:
        samples[sample.split, sample.dataset, sample.task.value] += 1


def _find(folder: Path, name: str) -> Block | None:
    """A block that is finished and whose files are whole."""
    try:
        block = _load(folder / BLOCKS / f"{name}.json")
        for chunk in block.part.chunks:
            with (folder / chunk.filename).open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != chunk.sha256:
                    return None
    except (OSError, ValueError, KeyError, TypeError):
        return None  # cut off by a crash or damaged since: it is simply done again
    return block


def _bring(block: Block, place: Path, folder: Path) -> None:
    """Have a block's files in this run's folder too, without writing them again."""
    if place == folder:
        return
    for chunk in block.part.chunks:
        _link(place / chunk.filename, folder / chunk.filename)
    (folder / BLOCKS).mkdir(parents=True, exist_ok=True)
    name = f"{block.fingerprint}.json"
    _link(place / BLOCKS / name, folder / BLOCKS / name)


def _link(old: Path, new: Path) -> None:
    new.unlink(missing_ok=True)
    try:
        os.link(old, new)
    except OSError:  # a file system without hard links
        unfinished = new.with_name(f"{new.name}.{os.getpid()}.unfinished")
        shutil.copyfile(old, unfinished)
        unfinished.replace(new)


def _save(block: Block, folder: Path) -> None:
    """Last of a block's files: where it is, the others are whole."""
    told = {
        "source": block.source,
        "chunks": [asdict(chunk) for chunk in block.part.chunks],
        "places": [[*key, places] for key, places in block.part.places.items()],
        "images": _listed(block.images),
        "objects": _listed(block.objects),
        "samples": _listed(block.samples),
        "rejections": [asdict(rejection) for rejection in block.rejections],
    }
    (folder / BLOCKS).mkdir(parents=True, exist_ok=True)
    path = folder / BLOCKS / f"{block.fingerprint}.json"
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.unfinished")
    unfinished.write_text(json.dumps(told, ensure_ascii=True), encoding="ascii")
    unfinished.replace(path)


def _load(path: Path) -> Block:
    told: dict[str, Any] = json.loads(path.read_text(encoding="ascii"))
    places = {(group, dataset): triples for group, dataset, triples in told["places"]}
    return Block(
        fingerprint=path.stem,
        source=told["source"],
        part=Part(tuple(Chunk(**chunk) for chunk in told["chunks"]), places),
        images=_counted(told["images"]),
        objects=_counted(told["objects"]),
        samples=_counted(told["samples"]),
        rejections=tuple(Rejection(**rejection) for rejection in told["rejections"]),
    )


def _listed(counts: Counter[tuple[str, ...]]) -> list[list[Any]]:
    return [[*key, number] for key, number in counts.items()]


def _counted(rows: list[list[Any]]) -> Counter[tuple[str, ...]]:
    return Counter({tuple(key): number for *key, number in rows})
