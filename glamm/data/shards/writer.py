"""Writes shards: the images of one block after another into files, and the index over all blocks of a split.

A block is a run of consecutive images of one data set. A shard is one file; a block has at least one, and no shard
holds images of two blocks. The files follow LitData's layout, whose own words stay on disk: a shard is a "chunk" there
(`chunk-*.bin`, `chunks` in index.json).
"""

import hashlib
import json
import os
import shutil
import struct
from array import array
from collections import defaultdict
from itertools import accumulate
from pathlib import Path

import numpy as np

from glamm.data.shards.codec import pack
from glamm.data.task_groups import GROUP_OF_TASK
from glamm.files import replacing, write_text
from glamm.structures.sample import Sample
from glamm.structures.versioned_file import FileSection
from glamm.text.render import estimate_num_words

INDEX_FILE = "index.json"
STREAMS_FOLDER = "streams"

ENTRY_COLUMNS = ("image", "sample", "words")
"""What an entry of a stream holds: index of the image, index among the samples of that image, expected words."""

FIELDS = ("image", "sample")
"""What a shard stores of an image, after the lengths of both in bytes: the encoded image, and its samples."""

_LEAF = {"type": None, "context": None, "children_spec": []}
_ITEM = {
    "type": "builtins.dict",
    "context": json.dumps(FIELDS),
    "children_spec": [_LEAF] * len(FIELDS),
}
_LITDATA_CONFIG = {
    "chunk_size": None,
    "compression": None,
    "data_format": ["bytes"] * len(FIELDS),
    "data_spec": json.dumps([1, _ITEM]),
    "encryption": None,
    "item_loader": "PyTreeLoader",
}


class Shard(FileSection):
    """One shard file.

    Args:
        filename: Relative to the folder of the split.
        num_images: At least 1.
        num_bytes: Size of the file.
        sha256: Checksum of the file, in hexadecimal digits.
    """

    filename: str
    num_images: int
    num_bytes: int
    sha256: str


class StreamEntries(FileSection):
    """The samples of one task group and one data set in a block.

    Args:
        group: Task group, a key of `MixtureConfig.weights`.
        dataset: Name of the data set.
        entries: Values of ENTRY_COLUMNS, one sample after another. Images are counted from the start of the block.
    """

    group: str
    dataset: str
    entries: tuple[int, ...]


class BlockShards(FileSection):
    """The shards of one block and the entries that it adds to the streams of its split.

    Args:
        shards: In the order of their images; none where no image of the block can be trained.
        streams: One for each task group and data set that the block holds.
    """

    shards: tuple[Shard, ...]
    streams: tuple[StreamEntries, ...]

    @property
    def num_images(self) -> int:
        """Images in all shards of the block."""
        return sum(shard.num_images for shard in self.shards)


class BlockWriter:
    """Writes the shards of one block; the same images in the same order give the same bytes.

    LitData's own writer is not used: it writes the time and the installed Arrow version into the files, and needs
    torch. A test reads the result with LitData. A file gets its final name when it is complete.

    Args:
        folder: Folder of the split; it exists.
        name: Unique in the split; the files are `<name>-<number>.bin`.
        shard_bytes: Size in bytes at which a shard is closed.
    """

    def __init__(self, folder: Path, *, name: str, shard_bytes: int) -> None:
        self._folder = folder
        self._name = name
        self._shard_bytes = shard_bytes
        self._items: list[bytes] = []
        self._num_bytes = 0
        self._shards: list[Shard] = []
        self._entries: dict[tuple[str, str], list[int]] = defaultdict(list)
        self._num_images = 0

    def add(self, samples: tuple[Sample, ...], image: bytes) -> None:
        """Write the samples of one image and the encoded image."""
        fields = (image, pack(samples))
        item = struct.pack("<2I", *map(len, fields)) + b"".join(fields)
        if self._items and self._num_bytes + len(item) > self._shard_bytes:
            self._flush()
        self._items.append(item)
        self._num_bytes += len(item)
        for index, sample in enumerate(samples):
            self._entries[GROUP_OF_TASK[sample.task], sample.dataset].extend(
                (self._num_images, index, estimate_num_words(sample))
            )
        self._num_images += 1

    def close(self) -> BlockShards:
        """Write the last shard."""
        self._flush()
        return BlockShards(
            shards=tuple(self._shards),
            streams=tuple(
                StreamEntries(group=group, dataset=dataset, entries=tuple(entries))
                for (group, dataset), entries in self._entries.items()
            ),
        )

    def _flush(self) -> None:
        """Write a shard: number of images, offset of each and of the end, items; numbers are little-endian uint32."""
        if not self._items:
            return
        count = len(self._items)
        start = 4 * (count + 2)
        offsets = accumulate(map(len, self._items), initial=start)
        header = struct.pack(f"<{count + 2}I", count, *offsets)
        name = f"{self._name}-{len(self._shards)}.bin"
        digest = hashlib.sha256()
        with (
            replacing(self._folder / name, tag=f".{os.getpid()}") as unfinished,
            unfinished.open("wb") as file,
        ):
            for piece in (header, *self._items):
                file.write(piece)
                digest.update(piece)
        self._shards.append(
            Shard(
                filename=name,
                num_images=count,
                num_bytes=start + self._num_bytes,
                sha256=digest.hexdigest(),
            )
        )
        self._items, self._num_bytes = [], 0


class IndexWriter:
    """Joins blocks into a split.

    Args:
        folder: Folder of the split; holds the shards of the blocks.
        shard_bytes: Size in bytes at which the shards were closed.
    """

    def __init__(self, folder: Path, *, shard_bytes: int) -> None:
        self._folder = folder
        self._shard_bytes = shard_bytes
        self._shards: list[Shard] = []
        self._entries: dict[tuple[str, str], array[int]] = defaultdict(lambda: array("q"))
        self.num_images = 0

    def add(self, block: BlockShards) -> None:
        """Append the images of a block."""
        self._shards += block.shards
        for stream in block.streams:
            entries = array("q", stream.entries)
            entries[:: len(ENTRY_COLUMNS)] = array(
                "q", (image + self.num_images for image in entries[:: len(ENTRY_COLUMNS)])
            )
            self._entries[stream.group, stream.dataset].extend(entries)
        self.num_images += block.num_images

    def close(self) -> None:
        """Write the index and the streams."""
        digest = hashlib.sha256("".join(shard.sha256 for shard in self._shards).encode())
        index = {
            "chunks": [
                {
                    "chunk_bytes": shard.num_bytes,
                    "chunk_size": shard.num_images,
                    "dim": None,
                    "filename": shard.filename,
                }
                for shard in self._shards
            ],
            "config": _LITDATA_CONFIG | {"chunk_bytes": self._shard_bytes},
            # LitData's caches compare it as text; a digest changes with the content and not with the time of the run
            "updated_at": digest.hexdigest()[:16],
        }
        write_text(self._folder / INDEX_FILE, json.dumps(index, sort_keys=True, indent=1))
        shutil.rmtree(self._folder / STREAMS_FOLDER, ignore_errors=True)
        for (group, dataset), entries in self._entries.items():
            folder = self._folder / STREAMS_FOLDER / group
            folder.mkdir(parents=True, exist_ok=True)
            table = np.frombuffer(entries, np.int64).reshape(-1, len(ENTRY_COLUMNS))
            np.save(folder / f"{dataset}.npy", table, allow_pickle=False)


class ShardWriter:
    """Writes the images of one split as a single block.

    Args:
        folder: Folder of the split; made if it is missing.
        shard_bytes: Size in bytes at which a shard is closed.
    """

    def __init__(self, folder: Path, *, shard_bytes: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._block = BlockWriter(folder, name="chunk-0", shard_bytes=shard_bytes)
        self._index = IndexWriter(folder, shard_bytes=shard_bytes)

    def add(self, samples: tuple[Sample, ...], image: bytes) -> None:
        """Write the samples of one image and the encoded image."""
        self._block.add(samples, image)

    def close(self) -> None:
        """Write the last shard, the index and the streams."""
        self._index.add(self._block.close())
        self._index.close()
