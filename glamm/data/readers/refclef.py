"""RefCLEF: expressions for images of SAIAPR TC-12."""

from glamm.data.readers.referring import Referring

NAME = "refclef"
SPLITS = ("train", "val", "test")

_LAYOUT = Referring(
    name=NAME, refs=("refs(unc).p",), splits=SPLITS, images=("Refer_Segm/images/saiapr_tc-12",)
)
is_in, read = _LAYOUT.is_in, _LAYOUT.read
