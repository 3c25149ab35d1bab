"""Visual Genome's regions with their descriptions."""

from glamm.data.readers.region_captions import RegionFiles

NAME = "visual_genome"

_LAYOUT = RegionFiles(
    name=NAME,
    files={"train": ("visual_genome/train.json",), "val": ("visual_genome/test_caption.json",)},
    images=("visual_genome/images", "visual_genome/VG_100K", "visual_genome/VG_100K_2"),
    evaluated=frozenset({"val"}),
    most=10,
)
SPLITS = tuple(_LAYOUT.files)
is_in, read = _LAYOUT.is_in, _LAYOUT.read
