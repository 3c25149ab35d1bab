"""ADE20K's 150 classes of the scene parsing challenge: value 0 is nothing, value v is class v - 1."""

from glamm.data.parsing.class_names import ADE20K
from glamm.data.readers.semantic_png import ClassMaps

NAME = "ade20k"

_FOLDERS = {"train": "training", "val": "validation"}
_LAYOUT = ClassMaps(
    name=NAME,
    labels={
        split: (f"Semantic_Segm/ade20k/annotations/{folder}", f"ade20k/annotations/{folder}")
        for split, folder in _FOLDERS.items()
    },
    images={
        split: (f"Semantic_Segm/ade20k/images/{folder}", f"ade20k/images/{folder}")
        for split, folder in _FOLDERS.items()
    },
    classes=lambda _: dict(enumerate(ADE20K, start=1)),
    ignored=frozenset({0, 255}),
)
SPLITS = tuple(_FOLDERS)
is_in, read = _LAYOUT.is_in, _LAYOUT.read
