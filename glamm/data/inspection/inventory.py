"""Inventory of a folder of data sets: records beside the published numbers, issues, licenses, checksums.

All annotations are read and the path of every image is checked. Images are not decoded; `glamm data prepare` does that.
"""

from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field, TypeAdapter, ValidationError

from glamm.data.readers.registry import READERS_BY_NAME, Reader, find_readers, no_data_set
from glamm.data.record import Record
from glamm.errors import DataError
from glamm.files import read_json_object, sha256
from glamm.structures.issue import Severity, one_line
from glamm.structures.versioned_file import FileSection, VersionedFile

_ROUNDING = 0.05  # relative tolerance for a number that was published as "31K"

_CHECKSUMS = TypeAdapter(dict[str, str])

_COCO = "annotations CC BY 4.0; images: Flickr's terms"
_GPT = "text written by GPT-4: its provider's terms"
_GRAND = "annotations: the data set's page; SA-1B images: its research license"
_RESEARCH = "non-commercial research"
_OWN = "yours"

LICENSES = {
    "ade20k": _RESEARCH,
    "coco": _OWN,
    "coco_captions_2017": _COCO,
    "coco_stuff": _COCO,
    "cvat": _OWN,
    "flickr30k_gcg": f"{_GPT}; Flickr30k: {_RESEARCH}, images by their owners",
    "flickr30k_region": f"Flickr30k: {_RESEARCH}, images by their owners",
    "grand": _GRAND,
    "granddf_ha_gcg": _GRAND,
    "granddf_val_test": _GRAND,
    "grefcoco": f"the data set's page; COCO: {_COCO}",
    "jsonl": _OWN,
    "labelme": _OWN,
    "llava_instruct_150k": f"CC BY-NC 4.0; {_GPT}",
    "mapillary": "CC BY-NC-SA 4.0 for research, else a commercial license",
    "openpsg_gcg": f"{_GPT}; OpenPSG; COCO: {_COCO}",
    "paco_lvis": f"the data set's page; COCO: {_COCO}",
    "pascal_part": "the data set's page; PASCAL VOC",
    "refclef": "the data set's page; SAIAPR TC-12",
    "refcocog_gcg": f"{_GPT}; RefCOCOg; COCO: {_COCO}",
    "visual_genome": "CC BY 4.0",
}
"""Licenses and terms to check before a data set is used; a data set that is not listed has those of RefCOCO."""


@dataclass(frozen=True, slots=True)
class Published:
    """The published size of a split.

    Args:
        number: How many.
        unit: "images" or "records".
        is_rounded: Whether it was published in thousands.
    """

    number: int
    unit: str = "images"
    is_rounded: bool = False

    def agrees(self, count: int) -> bool:
        """Whether a count equals the published number, within rounding."""
        tolerance = self.number * _ROUNDING if self.is_rounded else 0
        return abs(count - self.number) <= tolerance


PUBLISHED = {
    ("granddf_ha_gcg", "train"): Published(1_000, is_rounded=True),
    ("openpsg_gcg", "train"): Published(31_000, "records", is_rounded=True),
    ("refcocog_gcg", "train"): Published(24_000, "records", is_rounded=True),
    ("flickr30k_gcg", "train"): Published(158_000, "records", is_rounded=True),
    ("granddf_val_test", "val"): Published(2_500, is_rounded=True),
    ("granddf_val_test", "test"): Published(5_000, is_rounded=True),
    ("llava_instruct_150k", "train"): Published(150_000, "records", is_rounded=True),
    ("refcoco", "train"): Published(16_994),
    ("refcoco", "val"): Published(1_500),
    ("refcoco", "testA"): Published(750),
    ("refcoco", "testB"): Published(750),
    ("refcoco+", "val"): Published(1_500),
    ("refcoco+", "testA"): Published(750),
    ("refcoco+", "testB"): Published(750),
    ("refcocog", "train"): Published(21_899),
    ("refcocog", "val"): Published(1_300),
    ("refcocog", "test"): Published(2_600),
}
"""Sizes from the GLaMM paper (GranD-f, LLaVA-Instruct) and those commonly given for RefCOCO, + and g (umd)."""


class PublishedCount(FileSection):
    """A published size beside the counted one.

    Args:
        number: The published number.
        unit: "images" or "records".
        is_rounded: Whether it was published in thousands.
        count: The counted number.
        agrees: Whether both are equal within rounding.
    """

    number: int
    unit: str
    is_rounded: bool
    count: Annotated[int, Field(alias="found")]
    agrees: bool


class SplitInventory(FileSection):
    """What one split of a data set holds.

    Args:
        dataset: Name of the data set.
        split: Name of the split in that data set.
        records: Number of records that were read.
        images: Number of different images of these records.
        left_out: Number of records that were left out, by reason; names in the reasons are replaced by "...".
        examples: The first issue of each reason.
        broken_files: Files that cannot be read, with the reason.
        published: None if no size is published.
    """

    dataset: Annotated[str, Field(alias="source")]
    split: str
    records: int
    images: int
    left_out: Annotated[dict[str, int], Field(alias="rejections")]
    examples: dict[str, str]
    broken_files: Annotated[tuple[str, ...], Field(alias="broken")]
    published: PublishedCount | None


class Inventory(VersionedFile):
    """What a folder of data sets holds.

    Args:
        splits: All splits of every data set in the folder.
        missing: Names of the known data sets that are not in the folder.
        licenses: License and terms, by data set.
        checksums: SHA-256 of annotation files in hexadecimal digits, by path relative to the folder.
    """

    remedy: ClassVar[str] = "write it again with glamm data doctor --json"

    schema_version: int = 2
    splits: tuple[SplitInventory, ...]
    missing: tuple[str, ...]
    licenses: Annotated[dict[str, str], Field(alias="licences")]
    checksums: dict[str, str]


def take_inventory(root: Path) -> Inventory:
    """Read every data set below a folder.

    Raises:
        DataError: There is no such folder, or it holds no known data set.
    """
    if not root.is_dir():
        raise DataError("is no folder: name the one that holds the data sets", file=root)
    readers = find_readers(root)
    if not readers:
        raise no_data_set(root)
    files: set[str] = set()
    splits = [
        _read_split(reader, root, split, files) for reader in readers for split in reader.splits
    ]
    names = [reader.name for reader in readers]
    return Inventory(
        splits=tuple(splits),
        missing=tuple(sorted(set(READERS_BY_NAME) - set(names))),
        licenses={name: LICENSES.get(name, f"RefCOCO; COCO: {_COCO}") for name in names},
        checksums={name: digest for name in sorted(files) if (digest := _checksum(root / name))},
    )


def load_checksums(path: Path) -> dict[str, str]:
    """The checksums of a saved inventory, of this or a former schema version.

    Raises:
        DataError: It is no saved inventory.
    """
    try:
        return _CHECKSUMS.validate_python(read_json_object(path).get("checksums"))
    except ValidationError as error:
        raise DataError(
            "is no file of glamm data doctor --json", file=path, field="checksums"
        ) from error


def compare_checksums(current: dict[str, str], former: dict[str, str]) -> list[str]:
    """Differences between the checksums of two inventories, one line for each file."""
    changed = [name for name in former if name in current and current[name] != former[name]]
    return [
        *(f"{name}: is missing" for name in sorted(set(former) - set(current))),
        *(f"{name}: is new" for name in sorted(set(current) - set(former))),
        *(f"{name}: has changed" for name in sorted(changed)),
    ]


def _read_split(reader: Reader, root: Path, split: str, files: set[str]) -> SplitInventory:
    """Read one split; adds its annotation files to `files`."""
    num_records = 0
    images: set[str] = set()
    left_out: Counter[str] = Counter()
    examples: dict[str, str] = {}
    broken_files: list[str] = []
    try:
        for item in reader.read(root, split):
            files.add(item.location.file)
            if isinstance(item, Record):
                num_records += 1
                images.add(item.samples[0].image.key)
            elif item.severity is Severity.FILE:
                broken_files.append(f"{item.location.file}: {item.reason}")
            elif item.severity is Severity.RECORD:
                reason = _without_names(item.reason)
                left_out[reason] += 1
                examples.setdefault(reason, str(item))
    except DataError as error:
        broken_files.append(one_line(str(error)))
    return SplitInventory(
        dataset=reader.name,
        split=split,
        records=num_records,
        images=len(images),
        left_out=left_out,
        examples=examples,
        broken_files=tuple(broken_files),
        published=_compare_with_published(
            reader.name, split, num_records=num_records, num_images=len(images)
        ),
    )


def _compare_with_published(
    dataset: str, split: str, *, num_records: int, num_images: int
) -> PublishedCount | None:
    published = PUBLISHED.get((dataset, split))
    if published is None:
        return None
    count = num_images if published.unit == "images" else num_records
    return PublishedCount(**asdict(published), count=count, agrees=published.agrees(count))


def _without_names(reason: str) -> str:
    """A reason without the quoted names in it, so that a thousand missing images have one reason."""
    unquoted = reason.split("'")[::2]
    return "'...'".join(unquoted) if len(unquoted) > 1 else reason


def _checksum(path: Path) -> str | None:
    try:
        return sha256(path)
    except OSError:
        return None  # a record of an LMDB table, or a file that an issue reports
