"""Regions of RefCOCOg with their expressions, and the file of the caption evaluation (split eval)."""

from glamm.data.readers.region_captions import RegionFiles

NAME = "refcocog_region"

_FOLDER = "RefCoco_Reg/mdetr_annotations"
_LAYOUT = RegionFiles(
    name=NAME,
    files={
        "train": (f"{_FOLDER}/finetune_refcocog_train.json",),
        "val": (f"{_FOLDER}/finetune_refcocog_val.json",),
        "eval": (f"{_FOLDER}/finetune_refcocog_val_captions.json",),
    },
    images=("coco_2014/train2014", "RefCoco_Reg/coco_2014", "RefCoco_Reg/coco_2014/train2014"),
    evaluated=frozenset({"eval"}),
)
SPLITS = tuple(_LAYOUT.files)
is_in, read = _LAYOUT.is_in, _LAYOUT.read
