"""All data sets that can be read, in one table."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from glamm.data.readers.captions import CocoCaptionsReader
from glamm.data.readers.flickr30k import Flickr30kReader, caption_turns, region_turns
from glamm.data.readers.grand import GrandReader
from glamm.data.readers.grandf_eval import GrandfEvalReader
from glamm.data.readers.grandf_refcocog import GrandfRefcocogReader
from glamm.data.readers.grandf_train import GrandfTrainReader
from glamm.data.readers.llava import LlavaReader
from glamm.data.readers.object_parts import ObjectPartsReader, without_sense
from glamm.data.readers.own_coco import OwnCocoReader
from glamm.data.readers.own_cvat import CvatReader
from glamm.data.readers.own_jsonl import JsonlReader
from glamm.data.readers.own_labelme import LabelMeReader
from glamm.data.readers.referring import ReferringReader
from glamm.data.readers.region_captions import RegionCaptionsReader
from glamm.data.readers.semantic_png import (
    COCO_STUFF_HYPHENATED,
    SemanticPngReader,
    ade20k_classes,
    coco_stuff_classes,
    mapillary_classes,
)
from glamm.data.record import Record
from glamm.errors import DataError, RequestError
from glamm.structures.issue import Issue, one_line
from glamm.structures.sample import Frame, Task


@runtime_checkable
class Reader(Protocol):
    """Reads one data set. A split that is not there has no records."""

    @property
    def name(self) -> str:
        """Name of the data set on the command line and in sample ids."""
        ...

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits that the data set may have."""
        ...

    @property
    def frame(self) -> Frame:
        """The pixels on which the tool that made the data set draws, of an image whose EXIF data asks for a turn."""
        ...

    @property
    def looked_for(self) -> tuple[str, ...]:
        """The files and folders that make the data set exist, relative to the root, for a person."""
        ...

    def exists_in(self, root: Path) -> bool:
        """Whether files of the data set are below a folder."""
        ...

    def read(self, root: Path, split: str) -> Iterator[Record | Issue]:
        """Yield the records of a split in file order, and an issue for everything that was left out.

        Raises:
            DataError: A whole file cannot be read.
        """
        ...


_TRAIN_VAL = ("train", "val")
_UNC_SPLITS = ("train", "val", "testA", "testB")
_UMD_SPLITS = ("train", "val", "test")
_GRANDF = "GranDf/annotations/train"
_MDETR = "RefCoco_Reg/mdetr_annotations"
_FLICKR30K_TRAIN = "final_flickr_mergedGT_train.json"
_FLICKR30K_IMAGES = ("flikcr_30k/train", "flikcr_30k/flickr30k-images")
_REFCOCO_IMAGES = (
    "coco_2014/train2014",
    "RefCoco_Reg/coco_2014",
    "RefCoco_Reg/coco_2014/train2014",
)
_ADE20K_FOLDERS = {"train": "training", "val": "validation"}
_MAPILLARY_FOLDERS = {"train": "training", "val": "validation"}

READERS: tuple[Reader, ...] = (
    GrandReader(),
    GrandfEvalReader(),
    GrandfRefcocogReader(),
    GrandfTrainReader(
        "granddf_ha_gcg",
        files={"train": f"{_GRANDF}/GranDf_HA_GCG_train.json"},
        images=("GranDf_HA_images/train", "GranDf/GranDf_HA_images/train"),
    ),
    GrandfTrainReader(
        "openpsg_gcg",
        files={split: f"{_GRANDF}/OpenPsgGCG_{split}.json" for split in _TRAIN_VAL},
        images=("coco_2017/train2017", "coco_2017/val2017"),
    ),
    Flickr30kReader(
        "flickr30k_gcg",
        task=Task.GROUNDED_CONVERSATION,
        files={split: (f"{_GRANDF}/flickr_mergedGT_GCG_{split}.json",) for split in _TRAIN_VAL},
        images=_FLICKR30K_IMAGES,
        has_masks=True,
        make_turns=caption_turns,
    ),
    Flickr30kReader(
        "flickr30k_region",
        task=Task.PHRASE_GROUNDING,
        files={
            "train": (
                f"{_MDETR}/{_FLICKR30K_TRAIN}",
                f"flikcr_30k/mdetr_annotations/{_FLICKR30K_TRAIN}",
            )
        },
        images=_FLICKR30K_IMAGES,
        has_masks=False,
        make_turns=region_turns,
    ),
    ReferringReader("refcoco", refs=("refs(unc).p",), splits=_UNC_SPLITS),
    ReferringReader("refcoco+", refs=("refs(unc).p",), splits=_UNC_SPLITS),
    ReferringReader("refcocog", refs=("refs(umd).p",), splits=_UMD_SPLITS),
    ReferringReader("grefcoco", refs=("grefs(unc).json", "grefs(unc).p"), splits=_UNC_SPLITS),
    ReferringReader(
        "refclef",
        refs=("refs(unc).p",),
        splits=("train", "val", "test"),
        images=("Refer_Segm/images/saiapr_tc-12",),
    ),
    RegionCaptionsReader(
        "refcoco_region",
        files={split: (f"{_MDETR}/finetune_refcoco_{split}.json",) for split in _TRAIN_VAL},
        images=_REFCOCO_IMAGES,
    ),
    RegionCaptionsReader(
        "refcoco+_region",
        files={split: (f"{_MDETR}/finetune_refcoco+_{split}.json",) for split in _TRAIN_VAL},
        images=_REFCOCO_IMAGES,
    ),
    RegionCaptionsReader(
        "refcocog_region",
        files={
            "train": (f"{_MDETR}/finetune_refcocog_train.json",),
            "val": (f"{_MDETR}/finetune_refcocog_val.json",),
            "eval": (f"{_MDETR}/finetune_refcocog_val_captions.json",),
        },
        images=_REFCOCO_IMAGES,
    ),
    RegionCaptionsReader(
        "visual_genome",
        files={"train": ("visual_genome/train.json",), "val": ("visual_genome/test_caption.json",)},
        images=("visual_genome/images", "visual_genome/VG_100K", "visual_genome/VG_100K_2"),
    ),
    SemanticPngReader(
        "ade20k",
        labels={
            split: (f"Semantic_Segm/ade20k/annotations/{folder}", f"ade20k/annotations/{folder}")
            for split, folder in _ADE20K_FOLDERS.items()
        },
        images={
            split: (f"Semantic_Segm/ade20k/images/{folder}", f"ade20k/images/{folder}")
            for split, folder in _ADE20K_FOLDERS.items()
        },
        classes=ade20k_classes,
        ignored=frozenset({0, 255}),
    ),
    SemanticPngReader(
        "coco_stuff",
        labels={
            split: (f"coco_stuff/{split}2017", f"Semantic_Segm/cocostuff/{split}2017")
            for split in _TRAIN_VAL
        },
        images={
            split: (f"coco_2017/{split}2017", f"Semantic_Segm/coco_2017/{split}2017")
            for split in _TRAIN_VAL
        },
        classes=coco_stuff_classes,
        ignored=frozenset({255}) | COCO_STUFF_HYPHENATED,
    ),
    SemanticPngReader(
        "mapillary",
        labels={
            split: (
                f"mapillary/{folder}/v2.0/labels",
                f"Semantic_Segm/mapillary/{folder}/v2.0/labels",
            )
            for split, folder in _MAPILLARY_FOLDERS.items()
        },
        images={
            split: (f"mapillary/{folder}/images", f"Semantic_Segm/mapillary/{folder}/images")
            for split, folder in _MAPILLARY_FOLDERS.items()
        },
        classes=mapillary_classes,
        ignored=frozenset({255}),
    ),
    ObjectPartsReader(
        "paco_lvis",
        files={
            split: (
                f"paco_lvis/annotations/paco_lvis_v1_{split}.json",
                f"Semantic_Segm/paco_lvis/annotations/paco_lvis_v1_{split}.json",
            )
            for split in _TRAIN_VAL
        },
        images=("coco_2017", "Semantic_Segm/coco_2017", "coco_2017/train2017", "coco_2017/val2017"),
        clean_name=without_sense,
    ),
    ObjectPartsReader(
        "pascal_part",
        files={"train": ("pascal_part/train.json", "Semantic_Segm/pascal_part/train.json")},
        images=(
            "pascal_part/VOCdevkit/VOC2010/JPEGImages",
            "Semantic_Segm/pascal_part/VOCdevkit/VOC2010/JPEGImages",
        ),
    ),
    CocoCaptionsReader(),
    LlavaReader(),
    OwnCocoReader(),
    LabelMeReader(),
    CvatReader(),
    JsonlReader(),
)

_OWN = ("coco", "labelme", "cvat", "jsonl")
_MAX_LISTED = 10  # entries of a folder in a message
_MAX_LISTED_INSIDE = 3

READERS_BY_NAME = {
    reader.name: reader for reader in sorted(READERS, key=lambda reader: reader.name)
}
"""In the order of the names."""


def get_reader(name: str) -> Reader:
    """Look up the reader of a data set.

    Raises:
        RequestError: There is no data set with this name; the message lists all names.
    """
    if name not in READERS_BY_NAME:
        raise RequestError(
            f"no data set is called '{name}'; there are: {', '.join(READERS_BY_NAME)}"
        )
    return READERS_BY_NAME[name]


def find_readers(root: Path) -> tuple[Reader, ...]:
    """Readers of the data sets below a folder, in the order of their names."""
    return tuple(reader for reader in READERS_BY_NAME.values() if reader.exists_in(root))


def no_data_set(root: Path, names: Sequence[str] = ()) -> DataError:
    """The error about a folder in which no reader finds anything: what was looked for, and what lies there.

    Args:
        root: The folder.
        names: Data sets that were asked for; those of people's own data unless given.
    """
    readers = [get_reader(name) for name in names or _OWN]
    which = f"in the layout {' or '.join(names)}" if names else "in a known layout"
    looked_for = "; ".join(f"{', '.join(reader.looked_for)} ({reader.name})" for reader in readers)
    if not names:
        looked_for += "; the paths in data/README.md (public data sets)"
    return DataError(
        f"holds no data set {which}. Looked for {looked_for}. The folder holds: {_listing(root)}{_hint(root, readers)}",
        file=root,
    )


def _hint(root: Path, readers: Sequence[Reader]) -> str:
    """Where a data set is instead, if it is near."""
    others = [reader.name for reader in find_readers(root)]
    if others:
        return f". It holds one in the layout {' and '.join(others)}"
    for path in _entries(root):
        if path.is_dir() and any(reader.exists_in(path) for reader in readers):
            return f". Its folder {one_line(path.name)} holds one: name that folder"
    return ""


def _listing(folder: Path) -> str:
    """The first entries of a folder, and of the folders in it."""
    shown: list[str] = []
    for path in _entries(folder)[:_MAX_LISTED]:
        if path.is_dir():
            names = [one_line(inner.name) for inner in _entries(path)]
            rest = ", ..." if len(names) > _MAX_LISTED_INSIDE else ""
            shown.append(f"{one_line(path.name)}/ ({', '.join(names[:_MAX_LISTED_INSIDE])}{rest})")
        else:
            shown.append(one_line(path.name))
    num_others = len(_entries(folder)) - len(shown)
    return ", ".join(shown) + (f" and {num_others} more" if num_others else "") or "nothing"


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []
