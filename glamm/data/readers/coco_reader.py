"""What readers share whose data set has one COCO file per split."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from glamm.data.parsing.coco_json import CocoFile, Key, read_coco
from glamm.data.parsing.dataset_paths import find_file
from glamm.data.record import Record, read_record
from glamm.structures.issue import Issue, IssueLog, Location
from glamm.structures.sample import Frame


@dataclass(frozen=True, slots=True)
class CocoReader(ABC):
    """Reads one record per entry of `images`; a subclass says what it is.

    Args:
        name: Name of the data set.
        files: By split, the relative paths that its annotation file may have.
        images: Relative folders that may hold the images, in the order in which they are tried.
    """

    name: str
    files: Mapping[str, tuple[str, ...]]
    images: tuple[str, ...]

    frame = Frame.BY_SIZE

    @property
    def splits(self) -> tuple[str, ...]:
        """Those that have a file."""
        return tuple(self.files)

    @property
    def looked_for(self) -> tuple[str, ...]:
        """What makes the data set exist in a folder."""
        return tuple(name for names in self.files.values() for name in names)

    def exists_in(self, root: Path) -> bool:
        """Whether the file of a split is below a folder."""
        return any(find_file(root, names) for names in self.files.values())

    def read(self, root: Path, split: str) -> Iterator[Record | Issue]:
        """Yield the records of a split, and an issue for everything that was left out."""
        path = find_file(root, self.files.get(split, ()))
        if path is None:
            return
        content = read_coco(root, path)
        yield from content.issues
        for image_id in content.images:
            read = partial(self._read_image, root, split, content, image_id)
            yield from read_record(Location(content.file, f"image {image_id}"), read)

    @abstractmethod
    def _read_image(
        self, root: Path, split: str, content: CocoFile, image_id: Key, issues: IssueLog
    ) -> Record:
        """The record of one image; issues of its annotations go into the log, of which it is the record.

        Raises:
            DataError: The image is left out.
        """
