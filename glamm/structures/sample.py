"""One annotated image, whatever data set it came from: plain text, character spans, objects stored once.

Special tokens are never stored; the renderer in `glamm.text` adds them for the model that is being trained.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from glamm.typing import Box, Size

SCHEMA_VERSION = 2


class Task(StrEnum):
    """The task that a sample trains."""

    GROUNDED_CONVERSATION = "gcg"
    REFERRING_SEGMENTATION = "refseg"
    SEMANTIC_SEGMENTATION = "semseg"
    REGION_CAPTIONING = "region_caption"
    IMAGE_CAPTIONING = "caption"
    VQA = "vqa"
    PHRASE_GROUNDING = "phrase_ground"


class Frame(StrEnum):
    """The pixels on which a tool draws annotations, of an image whose EXIF data asks for a turn."""

    TURNED = "turned"  # as EXIF asks, which is what viewers show; as stored if only the stored size is the stated one
    STORED = "stored"  # as the file has them, whatever EXIF asks
    BY_SIZE = "by_size"  # as stored; as turned if only the turned size is the stated one


class SpanKind(StrEnum):
    """How a range of a turn's text refers to objects."""

    SEG = "seg"  # a phrase of the assistant grounded by masks: <p> phrase </p> [SEG]
    REGION = "region"  # text of the user that refers to an input box: text <bbox>
    SEG_ONLY = "seg_only"  # a mask without a phrase: [SEG]


@dataclass(frozen=True, slots=True)
class Mask:
    """A COCO compressed run-length mask of the whole image.

    Args:
        size: (height, width) of the image in pixels.
        counts: The compressed runs, column by column, starting with background.
    """

    size: Size
    counts: bytes


@dataclass(frozen=True, slots=True)
class Obj:
    """An annotated object of the image.

    Args:
        id: Unique in its sample.
        box: x1, y1, x2, y2 in pixels of the image.
        mask: None where the data set has only boxes.
        labels: Class names; the canonical one first, the others sorted.
        attributes: Descriptions such as "a red metal cube".
        score: Confidence of the detector, 0 to 1.
        depth: Inverse relative depth; larger is closer.
        source: Origin of the mask: gt (annotated by people), sam, eva, hq_sam or the name of a detector.
        is_crowd: The mask covers a group of objects.
    """

    id: int
    box: Box
    mask: Mask | None = None
    labels: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()
    score: float | None = None
    depth: float | None = None
    source: str = "gt"
    is_crowd: bool = False


@dataclass(frozen=True, slots=True)
class Span:
    """A half-open range of Unicode code points of `Turn.text` that refers to objects.

    Args:
        start: Index of the first code point.
        end: Index after the last code point; equals `start` for SEG_ONLY.
        kind: How the range refers to the objects.
        object_ids: SEG and SEG_ONLY: the union of these masks is one target. REGION: one id for each `<bbox>`.
    """

    start: int
    end: int
    kind: SpanKind
    object_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of a conversation.

    Args:
        role: "user" or "assistant".
        text: Without special tokens. None in a user turn: the renderer chooses a question template of the task.
        spans: Sorted, without overlaps.
    """

    role: str
    text: str | None
    spans: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True)
class Target:
    """A text with the objects that it describes: a referring expression, a class name or a region caption.

    Args:
        text: The expression, class name or caption.
        object_ids: The described objects; empty if the image holds none.
    """

    text: str
    object_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ImageRef:
    """The path of an image, or the encoded image.

    Args:
        key: File name, unique in its data set.
        size: (height, width) in pixels, in the orientation that the annotations use.
        frame: That orientation.
        path: The file on disk: the image, or a JSON file with the image in it; None when `data` holds the image.
        data: The encoded image (JPEG or PNG); filled in training shards only.
        license: License of the image, as its data set states it.
    """

    key: str
    size: Size
    frame: Frame = Frame.BY_SIZE
    path: str | None = None
    data: bytes | None = None
    license: str = "unknown"


@dataclass(frozen=True, slots=True)
class Sample:
    """One image and its annotations for one task.

    Exactly one of `turns` and `targets` is filled: grounded and free conversations have turns; referring and
    semantic segmentation and region captioning have targets, from which the renderer draws.

    Args:
        sample_id: "<data set>/<split>/<stable id>".
        task: The task that it trains.
        dataset: Name of the data set.
        split: train, val, test, or a name of the data set's own, such as testA.
        image: The same for all samples of an image.
        objects: All objects that spans and targets refer to.
        turns: The conversation.
        targets: Expressions with their objects.
        meta: Remarks by name; stored in shards, written by no reader of this version.
    """

    sample_id: str
    task: Task
    dataset: str
    split: str
    image: ImageRef
    objects: tuple[Obj, ...] = ()
    turns: tuple[Turn, ...] = ()
    targets: tuple[Target, ...] = ()
    meta: dict[str, str] = field(default_factory=dict)


def objects_by_id(objects: Sequence[Obj]) -> dict[int, Obj]:
    """Index objects by id."""
    return {obj.id: obj for obj in objects}
