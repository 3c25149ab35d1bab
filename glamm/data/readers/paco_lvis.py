"""PACO-LVIS: objects and parts of COCO's images."""

from glamm.data.readers.object_parts import PartFiles

NAME = "paco_lvis"
SPLITS = ("train", "val")

_LAYOUT = PartFiles(
    name=NAME,
    files={
        split: tuple(
            f"{place}/annotations/paco_lvis_v1_{split}.json"
            for place in ("paco_lvis", "Semantic_Segm/paco_lvis")
        )
        for split in SPLITS
    },
    images=("coco_2017", "Semantic_Segm/coco_2017"),
    plain=lambda name: name.partition("_(")[0],
)
is_in, read = _LAYOUT.is_in, _LAYOUT.read
