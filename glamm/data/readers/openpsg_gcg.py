"""GranD-f from OpenPSG: captions of COCO's images with numbered names such as person-1."""

from glamm.data.readers.grandf_train import PhraseMasks

NAME = "openpsg_gcg"

_LAYOUT = PhraseMasks(
    name=NAME,
    files={
        split: f"GranDf/annotations/train/OpenPsgGCG_{split}.json" for split in ("train", "val")
    },
    images=("coco_2017/train2017", "coco_2017/val2017"),
)
SPLITS = tuple(_LAYOUT.files)
is_in, read = _LAYOUT.is_in, _LAYOUT.read
