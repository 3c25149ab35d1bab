"""Ground truth and predictions of grounded conversation generation, as types."""

from dataclasses import dataclass
from typing import TypeAlias

from glamm.structures.sample import Mask
from glamm.typing import Size

ImageId: TypeAlias = str | int


@dataclass(frozen=True, slots=True)
class TruthMask:
    """An annotated mask.

    Args:
        id: Of the annotation.
        mask: Its pixels.
        area: What the file says; COCO's size classes go by it and not by the mask.
        category: 1 in the official files.
        is_crowd: COCO's flag; only average precision looks at it.
        occurrences: How many annotations of the file have this id; the release's average precision counts the last of
            them that many times.
    """

    id: int
    mask: Mask
    area: float
    category: int = 1
    is_crowd: bool = False
    occurrences: int = 1


@dataclass(frozen=True, slots=True)
class TruthImage:
    """An image of a split.

    Args:
        id: Predictions are in the file of this name.
        file_name: Of the image.
        size: (height, width) in pixels; None where the files do not say.
        captions: One or more references; none is a fault.
        labels: Phrases of the first reference; the i-th belongs to the i-th mask.
        masks: In file order.
    """

    id: ImageId
    file_name: str | None
    size: Size | None
    captions: tuple[str, ...]
    labels: tuple[str, ...]
    masks: tuple[TruthMask, ...]


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a model said about one image.

    Args:
        caption: Plain words.
        phrases: The i-th belongs to the i-th mask; the numbers may differ.
        masks: In the order of the words.
        scores: Confidence of each mask, 0 to 1; None where the file has none.
    """

    caption: str
    phrases: tuple[str, ...]
    masks: tuple[Mask, ...]
    scores: tuple[float, ...] | None = None


EMPTY_PREDICTION = Prediction(caption="", phrases=(), masks=())


@dataclass(frozen=True, slots=True)
class GcgPair:
    """An image's ground truth and what the model said."""

    truth: TruthImage
    prediction: Prediction


@dataclass(frozen=True, slots=True)
class GcgTruth:
    """A split.

    Args:
        split: val or test.
        images: In the order of the caption file.
        unasked: Images that only the mask file has. Average precision counts their masks as missed.
    """

    split: str
    images: tuple[TruthImage, ...]
    unasked: tuple[TruthImage, ...] = ()
