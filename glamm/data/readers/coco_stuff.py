"""COCO-Stuff's 182 classes of things and stuff; those with a hyphen in their name are left out, as in the release."""

from glamm.data.parsing.class_names import COCO_STUFF
from glamm.data.readers.semantic_png import ClassMaps

NAME = "coco_stuff"
SPLITS = ("train", "val")

_HYPHENATED = {value for value, name in enumerate(COCO_STUFF) if "-" in name}
_LAYOUT = ClassMaps(
    name=NAME,
    labels={
        split: (f"coco_stuff/{split}2017", f"Semantic_Segm/cocostuff/{split}2017")
        for split in SPLITS
    },
    images={
        split: (f"coco_2017/{split}2017", f"Semantic_Segm/coco_2017/{split}2017")
        for split in SPLITS
    },
    classes=lambda _: dict(enumerate(COCO_STUFF)),
    ignored=frozenset({255, *_HYPHENATED}),
)
is_in, read = _LAYOUT.is_in, _LAYOUT.read
