"""Ground truth and predictions of grounded conversation generation, as types."""

from dataclasses import dataclass

from glamm.structures.report import ImageId
from glamm.structures.sample import Mask
from glamm.typing import Size


@dataclass(frozen=True, slots=True)
class GroundTruthMask:
    """An annotated mask.

    Args:
        id: Id of the annotation.
        mask: Run-length code.
        area: Pixels, as the file states them; COCO's size classes use it and not the mask.
        category: 1 in the official files.
        is_crowd: COCO's flag; only average precision uses it.
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
class GroundTruthImage:
    """The annotations of an image.

    Args:
        id: Its prediction file has this name.
        file_name: Name of the image file; None where the annotation file does not give it.
        size: (height, width) in pixels; None where the annotation file does not give it.
        captions: One or more references; none is a fault.
        labels: Phrases of the first reference; label i belongs to mask i.
        masks: In file order.
    """

    id: ImageId
    file_name: str | None
    size: Size | None
    captions: tuple[str, ...]
    labels: tuple[str, ...]
    masks: tuple[GroundTruthMask, ...]

    @property
    def annotated_size(self) -> Size | None:
        """(height, width) of the first mask, or of the image if it has no mask."""
        return self.masks[0].mask.size if self.masks else self.size


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answer of a model about one image.

    Args:
        caption: Plain text, without tags.
        phrases: Phrase i belongs to mask i; there may be more or fewer phrases than masks.
        masks: In the order of the text.
        scores: Confidence of each mask, 0 to 1; None where the file has none.
    """

    caption: str
    phrases: tuple[str, ...]
    masks: tuple[Mask, ...]
    scores: tuple[float, ...] | None = None


EMPTY_PREDICTION = Prediction(caption="", phrases=(), masks=())


@dataclass(frozen=True, slots=True)
class ImagePair:
    """The ground truth and the prediction of one image."""

    truth: GroundTruthImage
    prediction: Prediction


@dataclass(frozen=True, slots=True)
class GroundTruth:
    """A split.

    Args:
        split: val or test.
        images: In the order of the caption file.
        mask_only_images: Images that only the mask file lists. No prediction is read for them; average precision
            counts their masks as missed.
    """

    split: str
    images: tuple[GroundTruthImage, ...]
    mask_only_images: tuple[GroundTruthImage, ...] = ()
