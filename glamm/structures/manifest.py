"""manifest.json of prepared shards: what they hold, what was left out, and the checksum of every file."""

from collections import Counter
from typing import Annotated, ClassVar

from pydantic import Field

from glamm.config.data import PrepareConfig
from glamm.structures.versioned_file import FileSection, VersionedFile

MANIFEST_FILE = "manifest.json"

SPLITS = ("train", "val", "test")
"""The splits of shards; each has a folder of its name if it holds images."""


class DatasetCounts(FileSection):
    """How much one data set has in one split, or in one block of it.

    Args:
        objects: Over all images.
        samples: Number of samples by task.
    """

    images: int = 0
    objects: int = 0
    samples: dict[str, int] = Field(default_factory=dict)

    def __add__(self, other: "DatasetCounts") -> "DatasetCounts":
        """The counts of both."""
        samples = Counter(self.samples) + Counter(other.samples)
        return DatasetCounts(
            images=self.images + other.images,
            objects=self.objects + other.objects,
            samples=dict(sorted(samples.items())),
        )


class BlockEntry(FileSection):
    """A block of a split.

    Args:
        fingerprint: Changes if anything changes that decides the content of the block.
        dataset: Name of the data set.
        files: Filenames of the shards, relative to the folder of the split.
    """

    fingerprint: str
    dataset: str
    files: tuple[str, ...]


class FileEntry(FileSection):
    """A file of the shards.

    Args:
        sha256: In hexadecimal digits.
    """

    num_bytes: Annotated[int, Field(alias="bytes")]
    sha256: str


class LeftOut(FileSection):
    """How much was left out, by data set.

    Args:
        records: Whole records and files; data sets that lost none are not listed.
        parts: Parts of records that were kept otherwise.
    """

    records: dict[str, int]
    parts: dict[str, int]


class PrepareManifest(VersionedFile):
    """What `glamm data prepare` wrote.

    Args:
        parameters: The configuration of the run.
        datasets: Names of the data sets that were read.
        counts: By split and data set; only those with images.
        blocks: By split, in the order of the images.
        left_out: What is not in the shards; the quarantine file lists every issue.
        files: By path relative to the folder of the manifest; all files but the manifest itself.
    """

    remedy: ClassVar[str] = "run glamm data prepare again"

    schema_version: int = 2
    parameters: PrepareConfig
    datasets: tuple[str, ...]
    counts: dict[str, dict[str, DatasetCounts]]
    blocks: dict[str, tuple[BlockEntry, ...]]
    left_out: LeftOut
    files: dict[str, FileEntry]

    @property
    def checksums(self) -> dict[str, str]:
        """SHA-256 of every file in hexadecimal digits, by path."""
        return {name: entry.sha256 for name, entry in self.files.items()}
