"""What a folder of data sets holds: which are there, how many records against the published numbers, terms, checksums.

Annotations are read whole and every image is looked for; no image is decoded, which `glamm data prepare` does.
"""

import hashlib
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from glamm.data.readers.registry import SOURCES, Source
from glamm.errors import DataError
from glamm.structures.issue import Issue, Severity

_ROUNDING = 0.05  # of a number that was published as "31K"

_COCO = "annotations CC BY 4.0; images: Flickr's terms"
_GPT = "text written by GPT-4: its provider's terms"
_GRAND = "annotations: the data set's page; SA-1B images: its research licence"
_RESEARCH = "non-commercial research"
_OWN = "yours"

LICENCES = {
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
    "mapillary": "CC BY-NC-SA 4.0 for research, else a commercial licence",
    "openpsg_gcg": f"{_GPT}; OpenPSG; COCO: {_COCO}",
    "paco_lvis": f"the data set's page; COCO: {_COCO}",
    "pascal_part": "the data set's page; PASCAL VOC",
    "refclef": "the data set's page; SAIAPR TC-12",
    "refcocog_gcg": f"{_GPT}; RefCOCOg; COCO: {_COCO}",
    "visual_genome": "CC BY 4.0",
}
"""Terms to look at before a data set is used; those that are not named are RefCOCO's."""


@dataclass(frozen=True, slots=True)
class Published:
    """How large a split is said to be.

    Args:
        number: Of what is counted.
        unit: "images" or "records".
        is_rounded: Published in thousands.
    """

    number: int
    unit: str = "images"
    is_rounded: bool = False

    def agrees(self, found: int) -> bool:
        """Whether a count is what was published, as far as it was."""
        slack = self.number * _ROUNDING if self.is_rounded else 0
        return abs(found - self.number) <= slack


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


@dataclass
class Findings:
    """What was found of one split of a data set.

    Args:
        source: Name of the data set.
        split: Name of the split.
        records: That were understood.
        images: Different ones.
        rejections: Records left out, by reason without its particulars.
        examples: The first of each.
        broken: Files that cannot be read.
        published: What was published, with whether it agrees; None where nothing was.
    """

    source: str
    split: str
    records: int = 0
    images: int = 0
    rejections: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    published: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """What a folder holds.

    Args:
        splits: Of every data set that is there.
        missing: Names of the data sets that are not.
        licences: Terms, by data set.
        checksums: SHA-256 of annotation files, by their path in the folder.
    """

    splits: tuple[Findings, ...]
    missing: tuple[str, ...]
    licences: dict[str, str]
    checksums: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


def examine(root: Path) -> Report:
    """Look at every data set below a folder.

    Raises:
        DataError: There is no such folder, or nothing that is known in it.
    """
    if not root.is_dir():
        raise DataError("is no folder: name the one that holds the data sets", file=root)
    there = [source for source in SOURCES.values() if source.is_in(root)]
    if not there:
        raise DataError(
            "holds no data set in a layout that is known; see glamm data read --help", file=root
        )
    files: set[str] = set()
    splits = [_examine(source, root, split, files) for source in there for split in source.splits]
    return Report(
        splits=tuple(splits),
        missing=tuple(sorted(set(SOURCES) - {source.name for source in there})),
        licences={s.name: LICENCES.get(s.name, f"RefCOCO; COCO: {_COCO}") for s in there},
        checksums={name: digest for name in sorted(files) if (digest := _sha256(root / name))},
    )


def compare(found: dict[str, str], expected: dict[str, str]) -> list[str]:
    """What is different between checksums and those of another report, a line each."""
    changed = [name for name in expected if name in found and found[name] != expected[name]]
    return [
        *(f"{name}: is not there" for name in sorted(set(expected) - set(found))),
        *(f"{name}: is new" for name in sorted(set(found) - set(expected))),
        *(f"{name}: has another content" for name in sorted(changed)),
    ]


def _examine(source: Source, root: Path, split: str, files: set[str]) -> Findings:
    found = Findings(source.name, split)
    keys: set[str] = set()
    try:
        for item in source.read(root, split):
            files.add(item.location.file)
            if not isinstance(item, Issue):
                found.records += 1
                keys.add(item.samples[0].image.key)
            elif item.severity is Severity.FILE:
                found.broken.append(f"{item.location.file}: {item.reason}")
            elif item.severity is Severity.RECORD:
                kind = _kind(item.reason)
                found.rejections[kind] += 1
                found.examples.setdefault(kind, str(item))
    except DataError as error:
        found.broken.append(str(error))
    found.images = len(keys)
    published = PUBLISHED.get((source.name, split))
    if published:
        count = found.images if published.unit == "images" else found.records
        found.published = {**asdict(published), "found": count, "agrees": published.agrees(count)}
    return found


def _kind(reason: str) -> str:
    """A reason without the names in it, so that a thousand missing images are one line."""
    parts = reason.split("'")
    return "'...'".join(parts[::2]) if len(parts) > 2 else reason


def _sha256(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None  # not a file but a place in a table; its findings name it
