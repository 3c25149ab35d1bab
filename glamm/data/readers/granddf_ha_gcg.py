"""GranD-f, human annotated: captions of SA-1B's images."""

from glamm.data.readers.grandf_train import PhraseMasks

NAME = "granddf_ha_gcg"

_LAYOUT = PhraseMasks(
    name=NAME,
    files={"train": "GranDf/annotations/train/GranDf_HA_GCG_train.json"},
    images=("GranDf_HA_images/train", "GranDf/GranDf_HA_images/train"),
)
SPLITS = tuple(_LAYOUT.files)
is_in, read = _LAYOUT.is_in, _LAYOUT.read
