"""Shards: one row a picture in LitData's chunk files, and for each kind of conversation a list of where it is.

A folder holds `index.json` and `*.bin` in LitData's layout (a `StreamingDataset` reads them too) and
`streams/<group>/<data set>.npy`, int64 pairs (row, which of the row's samples). Rows are read at random through
memory maps: what a step trains is then a function of its number alone, whatever the number of workers.

Axis names: ``samples`` entries of a stream.
"""

import hashlib
import json
import mmap
import os
import shutil
import struct
from array import array
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64

from glamm.data.codec import pack, unpack
from glamm.data.groups import GROUP_OF_TASK
from glamm.errors import DataError
from glamm.structures.sample import Sample

_STREAMS = "streams"
_INDEX = "index.json"
_FIELDS = (
    "image",
    "sample",
)  # the encoded picture and its samples; their lengths stand before them

_MOST_MAPS = 4096  # a process may hold 65,530 memory maps in all; the oldest goes, and is opened again when asked

_LEAF = {"type": None, "context": None, "children_spec": []}
_ROW = {
    "type": "builtins.dict",
    "context": json.dumps(_FIELDS),
    "children_spec": [_LEAF] * len(_FIELDS),
}
_LITDATA_CONFIG = {
    "chunk_size": None,
    "compression": None,
    "data_format": ["bytes"] * len(_FIELDS),
    "data_spec": json.dumps([1, _ROW]),
    "encryption": None,
    "item_loader": "PyTreeLoader",
}


@dataclass(frozen=True, slots=True)
class Stream:
    """All samples of one kind from one data set.

    Args:
        group: Kind of conversation, a key of `MixtureConfig.weights`.
        dataset: Name of the data set.
        places: (row, which of its samples) of each.
    """

    group: str
    dataset: str
    places: Int64[np.ndarray, "samples 2"]

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.places)


@dataclass(frozen=True, slots=True)
class Chunk:
    """One shard file.

    Args:
        filename: Below the split's folder.
        rows: Pictures in it.
        num_bytes: Its size.
        sha256: Of its bytes.
    """

    filename: str
    rows: int
    num_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Part:
    """Rows that follow one another and where their samples are; a split is a sequence of parts.

    Args:
        chunks: Files that hold nothing else.
        places: By (group, data set), flat pairs (row of this part, which of the row's samples).
    """

    chunks: tuple[Chunk, ...]
    places: dict[tuple[str, str], list[int]]

    @property
    def num_rows(self) -> int:
        """Pictures in all of its files."""
        return sum(chunk.rows for chunk in self.chunks)


class PartWriter:
    """Writes rows that follow one another; the same rows in the same order give the same bytes.

    LitData's own writer is not used: it writes the time and the Arrow version of the day into the files, and needs
    torch. A test reads what comes out with LitData. A file appears under its name when it is complete.

    Args:
        folder: Exists.
        name: The files are `<name>-<number>.bin`.
        shard_bytes: Size at which a file is closed.
    """

    def __init__(self, folder: Path, *, name: str, shard_bytes: int) -> None:
        self._folder = folder
        self._name = name
        self._shard_bytes = shard_bytes
        self._rows: list[bytes] = []
        self._num_bytes = 0
        self._chunks: list[Chunk] = []
        self._places: dict[tuple[str, str], list[int]] = defaultdict(list)
        self._num_rows = 0

    def add(self, samples: tuple[Sample, ...], picture: bytes) -> None:
        """Write the samples of one picture."""
        fields = (picture, pack(samples))
        row = struct.pack("<2I", *map(len, fields)) + b"".join(fields)
        if self._rows and self._num_bytes + len(row) > self._shard_bytes:
            self._flush()
        self._rows.append(row)
        self._num_bytes += len(row)
        for index, sample in enumerate(samples):
            self._places[GROUP_OF_TASK[sample.task], sample.dataset].extend((self._num_rows, index))
        self._num_rows += 1

    def close(self) -> Part:
        """Write what is left."""
        self._flush()
        return Part(tuple(self._chunks), dict(self._places))

    def _flush(self) -> None:
        """Write a file: number of rows, where each begins and where the last ends, rows; all little-endian uint32."""
        if not self._rows:
            return
        count = len(self._rows)
        start = 4 * (count + 2)
        offsets = accumulate(map(len, self._rows), initial=start)
        header = struct.pack(f"<{count + 2}I", count, *offsets)
        name = f"{self._name}-{len(self._chunks)}.bin"
        digest = hashlib.sha256()
        unfinished = self._folder / f"{name}.{os.getpid()}.unfinished"
        with unfinished.open("wb") as file:
            for part in (header, *self._rows):
                file.write(part)
                digest.update(part)
        unfinished.replace(self._folder / name)
        self._chunks.append(Chunk(name, count, start + self._num_bytes, digest.hexdigest()))
        self._rows, self._num_bytes = [], 0


class IndexWriter:
    """Puts parts together to a split.

    Args:
        folder: Holds the files of the parts.
        shard_bytes: Size at which their files were closed.
    """

    def __init__(self, folder: Path, *, shard_bytes: int) -> None:
        self._folder = folder
        self._shard_bytes = shard_bytes
        self._chunks: list[Chunk] = []
        self._places: dict[tuple[str, str], array[int]] = defaultdict(lambda: array("q"))
        self.num_rows = 0

    def add(self, part: Part) -> None:
        """Let the rows of a part follow those before."""
        self._chunks += part.chunks
        for key, places in part.places.items():
            shifted = array("q", places)
            shifted[::2] = array("q", (row + self.num_rows for row in places[::2]))
            self._places[key].extend(shifted)
        self.num_rows += part.num_rows

    def close(self) -> None:
        """Write the index and the streams."""
        digest = hashlib.sha256("".join(chunk.sha256 for chunk in self._chunks).encode())
        index = {
            "chunks": [
                {
                    "chunk_bytes": chunk.num_bytes,
                    "chunk_size": chunk.rows,
                    "dim": None,
                    "filename": chunk.filename,
                }
                for chunk in self._chunks
            ],
            "config": _LITDATA_CONFIG | {"chunk_bytes": self._shard_bytes},
            # to LitData's caches, other content is another time
            "updated_at": digest.hexdigest()[:16],
        }
        text = json.dumps(index, sort_keys=True, indent=1)
        (self._folder / _INDEX).write_text(text, encoding="utf-8")
        shutil.rmtree(self._folder / _STREAMS, ignore_errors=True)
        for (group, dataset), places in self._places.items():
            folder = self._folder / _STREAMS / group
            folder.mkdir(parents=True, exist_ok=True)
            pairs = np.frombuffer(places, np.int64).reshape(-1, 2)
            np.save(folder / f"{dataset}.npy", pairs, allow_pickle=False)


class ShardWriter:
    """Writes the rows of one split in one go.

    Args:
        folder: New; made when it is missing.
        shard_bytes: Size at which a file is closed.
    """

    def __init__(self, folder: Path, *, shard_bytes: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._part = PartWriter(folder, name="chunk-0", shard_bytes=shard_bytes)
        self._index = IndexWriter(folder, shard_bytes=shard_bytes)

    def add(self, samples: tuple[Sample, ...], picture: bytes) -> None:
        """Write the samples of one picture."""
        self._part.add(samples, picture)

    def close(self) -> None:
        """Write what is left and the index."""
        self._index.add(self._part.close())
        self._index.close()


class ShardReader:
    """The rows of one split, by number.

    Args:
        folder: As `ShardWriter` wrote it.

    Raises:
        DataError: It holds no shards, or not all of them.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._chunks = _read_index(folder)
        self._ends = list(accumulate(count for _, count in self._chunks))
        self._maps: dict[int, tuple[mmap.mmap, np.ndarray]] = {}
        self.streams = tuple(_read_streams(folder))

    def __reduce__(self) -> tuple[type["ShardReader"], tuple[Path]]:
        """Another process opens the files itself."""
        return ShardReader, (self.folder,)

    @property
    def chunks(self) -> tuple[tuple[str, int], ...]:
        """Name and number of rows of every shard file, in the order of the rows."""
        return tuple(self._chunks)

    def __len__(self) -> int:
        """Number of rows, one a picture."""
        return self._ends[-1] if self._ends else 0

    def __getitem__(self, row: int) -> tuple[Sample, ...]:
        """All samples of a picture, which is in `image.data` of each.

        Raises:
            IndexError: There is no such row.
            DataError: The shard is damaged.
        """
        if not 0 <= row < len(self):
            raise IndexError(f"row {row} of {len(self)}")
        chunk = int(np.searchsorted(self._ends, row, side="right"))
        begin = row - (self._ends[chunk - 1] if chunk else 0)
        data, offsets = self._map(chunk)
        item = data[int(offsets[begin]) : int(offsets[begin + 1])]
        lengths = np.frombuffer(item, dtype="<u4", count=len(_FIELDS))
        start = lengths.nbytes
        end = start + int(lengths[0])
        return unpack(item[end : end + int(lengths[1])], picture=item[start:end])

    def __iter__(self) -> Iterator[tuple[Sample, ...]]:
        """Every row in order."""
        return (self[row] for row in range(len(self)))

    def _map(self, chunk: int) -> tuple[mmap.mmap, np.ndarray]:
        if chunk not in self._maps:
            if len(self._maps) == _MOST_MAPS:
                del self._maps[next(iter(self._maps))]
            name, count = self._chunks[chunk]
            with (self.folder / name).open("rb") as file:
                data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            offsets = np.frombuffer(data, dtype="<u4", count=count + 1, offset=4)
            self._maps[chunk] = data, offsets
        return self._maps[chunk]


def _read_index(folder: Path) -> list[tuple[str, int]]:
    """Name and rows of every chunk file, whose sizes must be right."""
    index_file = folder / _INDEX
    try:
        index: dict[str, Any] = json.loads(index_file.read_text())
        chunks = [
            (chunk["filename"], chunk["chunk_size"], chunk["chunk_bytes"])
            for chunk in index["chunks"]
        ]
    except FileNotFoundError as error:
        raise DataError("holds no shards: run glamm data prepare", file=folder) from error
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"is no shard index ({error}): run glamm data prepare again", file=index_file
        ) from error
    for name, _, size in chunks:
        path = folder / name
        found = path.stat().st_size if path.is_file() else 0
        if found != size:
            raise DataError(f"has {found} of {size} bytes: run glamm data prepare again", file=path)
    return [(name, count) for name, count, _ in chunks]


def _read_streams(folder: Path) -> Iterator[Stream]:
    for path in sorted((folder / _STREAMS).glob("*/*.npy")):
        try:
            places = np.load(path, mmap_mode="r", allow_pickle=False)
        except (ValueError, EOFError, OSError) as error:
            raise DataError(
                f"is damaged ({error}): run glamm data prepare again", file=path
            ) from error
        yield Stream(path.parent.name, path.stem, places)
