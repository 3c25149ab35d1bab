"""Prepares a data set in blocks: a block that has not changed since a former run is kept, any other is made again.

A block is a run of about 128 consecutive records. It ends where the name of an image decides, not after a fixed
number of records, so that an added or removed image changes the limits of its own block only. The fingerprint of a
block is a digest of everything that decides the content of its shards.
"""

import hashlib
import os
import shutil
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from glamm.data.preparation.read_checked import check_trainable
from glamm.data.record import Record
from glamm.data.shards.writer import BlockShards, BlockWriter
from glamm.errors import DataError
from glamm.files import replacing, sha256
from glamm.structures.issue import Issue
from glamm.structures.manifest import DatasetCounts
from glamm.structures.sample import SCHEMA_VERSION, Sample
from glamm.structures.versioned_file import VersionedFile

BLOCKS_FOLDER = "blocks"
"""Folder in that of a split; holds the description of each block."""

IMAGES_PER_BLOCK = 128
"""On average; about 60 MB of SA-1B's images."""

_VERSION = 3  # raised when the same records give other shards
_MAX_RECORDS = 256  # of a block, which limits memory whatever the images are called

Item = Record | Issue


class Block(VersionedFile):
    """The result of preparing the records of one block; saved as `blocks/<fingerprint>.json`.

    Args:
        fingerprint: Digest of the records, their images and the parameters, in hexadecimal digits.
        dataset: Name of the data set.
        content: The shards; none if no record can be trained.
        counts: What is in the shards.
        issues: What was left out.
        is_kept: Whether a former run wrote the shards.
    """

    remedy: ClassVar[str] = "run glamm data prepare again"
    indent: ClassVar[int | None] = None

    schema_version: int = 2
    fingerprint: str
    dataset: str
    content: BlockShards
    counts: DatasetCounts
    issues: tuple[Issue, ...]
    is_kept: Annotated[bool, Field(exclude=True)] = False


def split_blocks(
    items: Iterable[Item], *, images_per_block: int = IMAGES_PER_BLOCK
) -> Iterator[list[Item]]:
    """Split the items of a data set into blocks, in their order.

    Args:
        items: Records and issues of a reader.
        images_per_block: On average; no block has more than 256 items.
    """
    block: list[Item] = []
    for item in items:
        # only inspection needs `raw`: without it less is sent to the workers
        block.append(replace(item, raw=None) if isinstance(item, Record) else item)
        if _ends_block(item, images_per_block) or len(block) == _MAX_RECORDS:
            yield block
            block = []
    if block:
        yield block


def make_block(
    items: Sequence[Item], dataset: str, folder: Path, former: Path, shard_bytes: int
) -> Block:
    """Check the records of a block and write its shards, unless they exist.

    Args:
        items: A block of `split_blocks`.
        dataset: Name of the data set.
        folder: Folder of the split in the output of this run; gets the shards.
        former: Folder of the split in the output of the last finished run; may be missing.
        shard_bytes: Size in bytes at which a shard is closed.
    """
    name = fingerprint(items, f"{_VERSION}/{SCHEMA_VERSION}/{shard_bytes}/{dataset}")
    for candidate in (folder, former):
        block = _find(candidate, name)
        if block is not None:
            if candidate != folder:
                link_files(block, candidate, folder)
            return block.model_copy(update={"is_kept": True})
    writer = BlockWriter(folder, name=f"chunk-{name}", shard_bytes=shard_bytes)
    counts = DatasetCounts()
    issues: list[Issue] = []
    for item in items:
        for result in check_trainable(item):
            if isinstance(result, Issue):
                issues.append(result)
                continue
            writer.add(result.record.samples, result.image_bytes)
            counts += _count(result.record.samples)
    block = Block(
        fingerprint=name,
        dataset=dataset,
        content=writer.close(),
        counts=counts,
        issues=tuple(issues),
    )
    block.save(_description(folder, name))  # last: a block with a description is complete
    return block


def fingerprint(items: Sequence[Item], parameters: str) -> str:
    """Digest of records with the bytes of their images; does not depend on the path of the data set."""
    digest = hashlib.sha256(parameters.encode())
    for item in items:
        if isinstance(item, Issue):
            digest.update(repr(item).encode("utf-8", "surrogatepass"))
            continue
        first = item.samples[0]
        bare = [replace(s, image=replace(s.image, path=None), objects=()) for s in item.samples]
        text = repr((item.location.file, item.location.record, first.objects, bare))
        digest.update(text.encode("utf-8", "surrogatepass"))
        digest.update(_digest_of(Path(first.image.path or "")))
    return digest.hexdigest()[:32]


def link_files(block: Block, source: Path, target: Path) -> None:
    """Put the files of a block into another folder, with hard links where the file system has them."""
    for shard in block.content.shards:
        _link(source / shard.filename, target / shard.filename)
    description = _description(target, block.fingerprint)
    description.parent.mkdir(parents=True, exist_ok=True)
    _link(_description(source, block.fingerprint), description)


def _link(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links
        with replacing(target, tag=f".{os.getpid()}") as unfinished:
            shutil.copyfile(source, unfinished)


def _description(folder: Path, name: str) -> Path:
    return folder / BLOCKS_FOLDER / f"{name}.json"


def _find(folder: Path, name: str) -> Block | None:
    """A complete block whose shards have the right checksums."""
    try:
        block = Block.load(_description(folder, name))
        is_intact = all(
            sha256(folder / shard.filename) == shard.sha256 for shard in block.content.shards
        )
    except (OSError, DataError):  # incomplete, damaged, or written by another version
        return None
    return block if is_intact else None


def _digest_of(path: Path) -> bytes:
    try:
        return bytes.fromhex(sha256(path))
    except OSError as error:
        return (error.strerror or "unreadable").encode()  # another error gives another issue


def _ends_block(item: Item, images_per_block: int) -> bool:
    if isinstance(item, Issue):
        return False
    key = item.samples[0].image.key
    return zlib.crc32(key.encode("utf-8", "surrogatepass")) % images_per_block == 0


def _count(samples: Sequence[Sample]) -> DatasetCounts:
    """Counts of the samples of one image."""
    return DatasetCounts(
        images=1,
        objects=len(samples[0].objects),
        samples=Counter(sample.task.value for sample in samples),
    )
