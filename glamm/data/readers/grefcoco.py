"""gRefCOCO: expressions for one thing, several or none."""

from glamm.data.readers.referring import Referring

NAME = "grefcoco"
SPLITS = ("train", "val", "testA", "testB")

_LAYOUT = Referring(
    name=NAME,
    refs=(
        "grefs(unc).json",
        "grefs(unc).p",
    ),
    splits=SPLITS,
)
is_in, read = _LAYOUT.is_in, _LAYOUT.read
