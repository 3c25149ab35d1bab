"""Shards: one row a picture in LitData's chunk files, and for each kind of conversation a list of where it is.

A folder holds `index.json` and `chunk-0-*.bin` in LitData's layout (a `StreamingDataset` reads them too) and
`streams/<group>/<data set>.npy`, int64 pairs (row, which of the row's samples). Rows are read at random through
memory maps: what a step trains is then a function of its number alone, whatever the number of workers.

Axis names: ``samples`` entries of a stream.
"""

import hashlib
import json
import mmap
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


class ShardWriter:
    """Writes the rows of one split; the same rows in the same order give the same bytes.

    LitData's own writer is not used: it writes the time and the Arrow version of the day into the files, and needs
    torch. A test reads what comes out with LitData.

    Args:
        folder: New; made when it is missing.
        shard_bytes: Size at which a file is closed.
    """

    def __init__(self, folder: Path, *, shard_bytes: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._shard_bytes = shard_bytes
        self._rows: list[bytes] = []
        self._num_bytes = 0
        self._chunks: list[dict[str, Any]] = []
        self._places: dict[tuple[str, str], array[int]] = defaultdict(lambda: array("q"))
        self._digest = hashlib.sha256()
        self.num_rows = 0

    def add(self, samples: tuple[Sample, ...], picture: bytes) -> None:
        """Write the samples of one picture."""
        fields = (picture, pack(samples))
        row = struct.pack("<2I", *map(len, fields)) + b"".join(fields)
        if self._rows and self._num_bytes + len(row) > self._shard_bytes:
            self._flush()
        self._rows.append(row)
        self._num_bytes += len(row)
        for index, sample in enumerate(samples):
            self._places[GROUP_OF_TASK[sample.task], sample.dataset].extend((self.num_rows, index))
        self.num_rows += 1

    def close(self) -> None:
        """Write what is left and the index."""
        self._flush()
        index = {
            "chunks": self._chunks,
            "config": _LITDATA_CONFIG | {"chunk_bytes": self._shard_bytes},
            "updated_at": self._digest.hexdigest()[
                :16
            ],  # to LitData's caches, other content is another time
        }
        text = json.dumps(index, sort_keys=True, indent=1)
        (self._folder / _INDEX).write_text(text, encoding="utf-8")
        for (group, dataset), places in self._places.items():
            folder = self._folder / _STREAMS / group
            folder.mkdir(parents=True, exist_ok=True)
            np.save(
                folder / f"{dataset}.npy",
                np.array(places, np.int64).reshape(-1, 2),
                allow_pickle=False,
            )

    def _flush(self) -> None:
        """Write a file: number of rows, where each begins and where the last ends, rows; all little-endian uint32."""
        if not self._rows:
            return
        count = len(self._rows)
        start = 4 * (count + 2)
        offsets = accumulate(map(len, self._rows), initial=start)
        header = struct.pack(f"<{count + 2}I", count, *offsets)
        name = f"chunk-0-{len(self._chunks)}.bin"
        with (self._folder / name).open("wb") as file:
            for part in (header, *self._rows):
                file.write(part)
                self._digest.update(part)
        size = start + self._num_bytes
        self._chunks.append(
            {"chunk_bytes": size, "chunk_size": count, "dim": None, "filename": name}
        )
        self._rows, self._num_bytes = [], 0


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
