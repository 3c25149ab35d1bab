"""Regions of RefCOCO+ with their expressions."""

from glamm.data.readers.region_captions import RegionFiles

NAME = "refcoco+_region"

_FOLDER = "RefCoco_Reg/mdetr_annotations"
_LAYOUT = RegionFiles(
    name=NAME,
    files={
        "train": (f"{_FOLDER}/finetune_refcoco+_train.json",),
        "val": (f"{_FOLDER}/finetune_refcoco+_val.json",),
    },
    images=("coco_2014/train2014", "RefCoco_Reg/coco_2014", "RefCoco_Reg/coco_2014/train2014"),
)
SPLITS = tuple(_LAYOUT.files)
is_in, read = _LAYOUT.is_in, _LAYOUT.read
