"""GranD-f from Flickr30k: captions whose phrases have masks made from boxes."""

from glamm.data.readers.flickr30k import Flickr
from glamm.structures.sample import Span, Task, Turn

NAME = "flickr30k_gcg"
SPLITS = ("train", "val")


def _talk(caption: str, spans: tuple[Span, ...]) -> tuple[Turn, ...]:
    return Turn("user", None), Turn("assistant", caption, spans)


_LAYOUT = Flickr(
    name=NAME,
    task=Task.GROUNDED_CONVERSATION,
    files={
        split: (f"GranDf/annotations/train/flickr_mergedGT_GCG_{split}.json",) for split in SPLITS
    },
    images=("flikcr_30k/train", "flikcr_30k/flickr30k-images"),
    mask_field="sam_mask",
    talk=_talk,
)
is_in, read = _LAYOUT.is_in, _LAYOUT.read
