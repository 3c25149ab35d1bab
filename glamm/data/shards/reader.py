"""Reads shards: images by their index in the split, and for each task group a list of its samples.

The folder of a split holds `index.json` and `*.bin` in LitData's layout (a `StreamingDataset` reads them too) and
`streams/<group>/<data set>.npy`. Images are read in random order through memory maps, so that the samples of a
training step are a function of the step number alone, whatever the number of workers.

Axis names: ``samples`` entries of a stream.
"""

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import numpy as np
from jaxtyping import Int64, UInt8

from glamm.data.shards.codec import unpack
from glamm.data.shards.writer import ENTRY_COLUMNS, FIELDS, INDEX_FILE, STREAMS_FOLDER
from glamm.errors import DataError
from glamm.files import read_json_object
from glamm.geometry.image_files import decode
from glamm.structures.sample import ImageRef, Sample

_MAX_OPEN_SHARDS = 4096  # Linux allows a process 65,530 memory maps; the oldest is closed first


@dataclass(frozen=True, slots=True)
class Stream:
    """All samples of one task group from one data set.

    Args:
        group: Task group, a key of `MixtureConfig.weights`.
        dataset: Name of the data set.
        entries: For each sample the index of its image, its index among the samples of that image, and the expected
            number of words.
    """

    group: str
    dataset: str
    entries: Int64[np.ndarray, "samples 3"]

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.entries)


class ShardReader:
    """The images of one split with their samples, by index.

    Args:
        folder: Folder of the split, below the folder that `glamm data prepare` wrote.

    Attributes:
        shards: Filename and number of images of every shard, in the order of the images.
        streams: The samples by task group and data set.

    Raises:
        DataError: It holds no shards, or a shard is missing or truncated.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.shards = _read_index(folder)
        self._ends = list(accumulate(num_images for _, num_images in self.shards))
        self._maps: dict[int, tuple[mmap.mmap, np.ndarray]] = {}
        self.streams = tuple(_read_streams(folder))

    def __reduce__(self) -> tuple[type["ShardReader"], tuple[Path]]:
        """A copy in another process opens the files again."""
        return ShardReader, (self.folder,)

    def __len__(self) -> int:
        """Number of images."""
        return self._ends[-1] if self._ends else 0

    def __getitem__(self, index: int) -> tuple[Sample, ...]:
        """All samples of an image; `image.data` of each is the encoded image.

        Raises:
            IndexError: There is no such image.
            DataError: The shard is damaged.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"image {index} of {len(self)}")
        shard = int(np.searchsorted(self._ends, index, side="right"))
        index_in_shard = index - (self._ends[shard - 1] if shard else 0)
        data, offsets = self._map(shard)
        item = data[int(offsets[index_in_shard]) : int(offsets[index_in_shard + 1])]
        lengths = np.frombuffer(item, dtype="<u4", count=len(FIELDS))
        start = lengths.nbytes
        end = start + int(lengths[0])
        return unpack(item[end : end + int(lengths[1])], image_bytes=item[start:end])

    def __iter__(self) -> Iterator[tuple[Sample, ...]]:
        """The samples of every image, in order."""
        return (self[index] for index in range(len(self)))

    def _map(self, shard: int) -> tuple[mmap.mmap, np.ndarray]:
        """Content of a shard, and where each of its images begins and the last one ends."""
        if shard not in self._maps:
            if len(self._maps) == _MAX_OPEN_SHARDS:
                del self._maps[next(iter(self._maps))]
            name, num_images = self.shards[shard]
            with (self.folder / name).open("rb") as file:
                data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            offsets = np.frombuffer(data, dtype="<u4", count=num_images + 1, offset=4)
            self._maps[shard] = data, offsets
        return self._maps[shard]


def read_pixels(image: ImageRef) -> UInt8[np.ndarray, "height width 3"]:
    """Decode an image that a shard holds.

    Raises:
        DataError: Its bytes are damaged, or it has another size than `image.size`.
    """
    try:
        return decode(image.data or b"", size=image.size, frame=image.frame)
    except ValueError as error:
        raise DataError(f"{error}: run glamm data prepare again", record=image.key) from error


def _read_index(folder: Path) -> tuple[tuple[str, int], ...]:
    """Filename and number of images of every shard, in order; checks the sizes of the files."""
    path = folder / INDEX_FILE
    if not path.is_file():
        raise DataError("holds no shards: run glamm data prepare", file=folder)
    try:
        shards = [
            (shard["filename"], shard["chunk_size"], shard["chunk_bytes"])
            for shard in read_json_object(path)["chunks"]
        ]
    except (DataError, KeyError, TypeError) as error:
        reason = error.reason if isinstance(error, DataError) else repr(error)
        raise DataError(
            f"is no shard index ({reason}): run glamm data prepare again", file=path
        ) from error
    for name, _, expected_bytes in shards:
        shard_file = folder / name
        num_bytes = shard_file.stat().st_size if shard_file.is_file() else 0
        if num_bytes != expected_bytes:
            raise DataError(
                f"has {num_bytes} of {expected_bytes} bytes: run glamm data prepare again",
                file=shard_file,
            )
    return tuple((name, num_images) for name, num_images, _ in shards)


def _read_streams(folder: Path) -> Iterator[Stream]:
    for path in sorted((folder / STREAMS_FOLDER).glob("*/*.npy")):
        try:
            entries = np.load(path, mmap_mode="r", allow_pickle=False)
        except (ValueError, EOFError, OSError) as error:
            raise DataError(
                f"is damaged ({error}): run glamm data prepare again", file=path
            ) from error
        if entries.ndim != 2 or entries.shape[1] != len(ENTRY_COLUMNS):
            raise DataError(
                f"has shape {entries.shape}, not (samples, {len(ENTRY_COLUMNS)}): "
                "another version wrote it; run glamm data prepare again",
                file=path,
            )
        yield Stream(path.parent.name, path.stem, entries)
