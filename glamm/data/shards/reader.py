"""Shards: one row an image in LitData's chunk files, and for each kind of conversation a list of where it is.

A folder holds `index.json` and `*.bin` in LitData's layout (a `StreamingDataset` reads them too) and
`streams/<group>/<data set>.npy`, int64 triples (row, which of the row's samples, expected words). Rows are read at
random through memory maps: what a step trains is then a function of its number alone, whatever the number of workers.

Axis names: ``samples`` entries of a stream.
"""

import json
import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64

from glamm.data.shards.codec import unpack
from glamm.data.shards.writer import FIELDS, INDEX, PLACE, STREAMS, IndexWriter, PartWriter
from glamm.errors import DataError
from glamm.structures.sample import Sample

_MOST_MAPS = 4096  # a process may hold 65,530 memory maps in all; the oldest goes, and is opened again when asked


@dataclass(frozen=True, slots=True)
class Stream:
    """All samples of one kind from one data set.

    Args:
        group: Kind of conversation, a key of `MixtureConfig.weights`.
        dataset: Name of the data set.
        places: (row, which of its samples, expected words) of each.
    """

    group: str
    dataset: str
    places: Int64[np.ndarray, "samples 3"]

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.places)


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

    def add(self, samples: tuple[Sample, ...], image: bytes) -> None:
        """Write the samples of one image."""
        self._part.add(samples, image)

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
        """Number of rows, one an image."""
        return self._ends[-1] if self._ends else 0

    def __getitem__(self, row: int) -> tuple[Sample, ...]:
        """All samples of an image, which is in `image.data` of each.

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
        lengths = np.frombuffer(item, dtype="<u4", count=len(FIELDS))
        start = lengths.nbytes
        end = start + int(lengths[0])
        return unpack(item[end : end + int(lengths[1])], image_bytes=item[start:end])

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
    index_file = folder / INDEX
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
    for path in sorted((folder / STREAMS).glob("*/*.npy")):
        try:
            places = np.load(path, mmap_mode="r", allow_pickle=False)
        except (ValueError, EOFError, OSError) as error:
            raise DataError(
                f"is damaged ({error}): run glamm data prepare again", file=path
            ) from error
        if places.ndim != 2 or places.shape[1] != len(PLACE):
            raise DataError(
                f"has shape {places.shape}, not (samples, {len(PLACE)}): another version wrote it, "
                "run glamm data prepare again",
                file=path,
            )
        yield Stream(path.parent.name, path.stem, places)
