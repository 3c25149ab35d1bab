"""RefCOCO+: expressions without words of place, UNC's split."""

from glamm.data.readers.referring import Referring

NAME = "refcoco+"
SPLITS = ("train", "val", "testA", "testB")

_LAYOUT = Referring(name=NAME, refs=("refs(unc).p",), splits=SPLITS)
is_in, read = _LAYOUT.is_in, _LAYOUT.read
