"""Writing of shards in parts: rows that follow one another, each part for itself, and the index over all of them."""

import hashlib
import json
import os
import shutil
import struct
from array import array
from collections import defaultdict
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import numpy as np

from glamm.data.shards.codec import pack
from glamm.data.task_groups import GROUP_OF_TASK
from glamm.structures.sample import Sample
from glamm.text.render import expected_words

STREAMS = "streams"
INDEX = "index.json"
PLACE = ("row", "sample", "words")  # of the split; of the row; expected in its conversation
FIELDS = (
    "image",
    "sample",
)  # the encoded image and its samples; their lengths stand before them

_LEAF = {"type": None, "context": None, "children_spec": []}
_ROW = {
    "type": "builtins.dict",
    "context": json.dumps(FIELDS),
    "children_spec": [_LEAF] * len(FIELDS),
}
_LITDATA_CONFIG = {
    "chunk_size": None,
    "compression": None,
    "data_format": ["bytes"] * len(FIELDS),
    "data_spec": json.dumps([1, _ROW]),
    "encryption": None,
    "item_loader": "PyTreeLoader",
}


@dataclass(frozen=True, slots=True)
class Chunk:
    """One shard file.

    Args:
        filename: Below the split's folder.
        rows: Images in it.
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
        places: By (group, data set), flat triples (row of this part, which of the row's samples, expected words).
    """

    chunks: tuple[Chunk, ...]
    places: dict[tuple[str, str], list[int]]

    @property
    def num_rows(self) -> int:
        """Images in all of its files."""
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

    def add(self, samples: tuple[Sample, ...], image: bytes) -> None:
        """Write the samples of one image."""
        fields = (image, pack(samples))
        row = struct.pack("<2I", *map(len, fields)) + b"".join(fields)
        if self._rows and self._num_bytes + len(row) > self._shard_bytes:
            self._flush()
        self._rows.append(row)
        self._num_bytes += len(row)
        for index, sample in enumerate(samples):
            self._places[GROUP_OF_TASK[sample.task], sample.dataset].extend(
                (self._num_rows, index, expected_words(sample))
            )
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
            shifted[:: len(PLACE)] = array(
                "q", (row + self.num_rows for row in places[:: len(PLACE)])
            )
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
        (self._folder / INDEX).write_text(text, encoding="utf-8")
        shutil.rmtree(self._folder / STREAMS, ignore_errors=True)
        for (group, dataset), places in self._places.items():
            folder = self._folder / STREAMS / group
            folder.mkdir(parents=True, exist_ok=True)
            triples = np.frombuffer(places, np.int64).reshape(-1, len(PLACE))
            np.save(folder / f"{dataset}.npy", triples, allow_pickle=False)
