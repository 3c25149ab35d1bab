"""Pascal-Part: parts of objects of VOC 2010."""

from glamm.data.readers.object_parts import PartFiles

NAME = "pascal_part"
SPLITS = ("train",)

_ROOTS = ("pascal_part", "Semantic_Segm/pascal_part")
_LAYOUT = PartFiles(
    name=NAME,
    files={"train": tuple(f"{place}/train.json" for place in _ROOTS)},
    images=tuple(f"{place}/VOCdevkit/VOC2010/JPEGImages" for place in _ROOTS),
)
is_in, read = _LAYOUT.is_in, _LAYOUT.read
