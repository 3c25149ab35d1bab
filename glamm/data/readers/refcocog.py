"""RefCOCOg: long expressions, UMD's split."""

from glamm.data.readers.referring import Referring

NAME = "refcocog"
SPLITS = ("train", "val", "test")

_LAYOUT = Referring(name=NAME, refs=("refs(umd).p",), splits=SPLITS)
is_in, read = _LAYOUT.is_in, _LAYOUT.read
