"""One annotated image, whatever data set it came from: plain text, character spans, objects stored once.

Special tokens are never stored; the renderer in `glamm.text` adds them for the model that is being trained.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from glamm.typing import Box, Size

SCHEMA_VERSION = 1


class Task(StrEnum):
    """What a sample teaches."""

    GROUNDED_CONVERSATION = "gcg"
    REFERRING_SEGMENTATION = "refseg"
    SEMANTIC_SEGMENTATION = "semseg"
    REGION_CAPTIONING = "region_caption"
    IMAGE_CAPTIONING = "caption"
    VQA = "vqa"
    PHRASE_GROUNDING = "phrase_ground"


class SpanKind(StrEnum):
    """How a piece of a turn is tied to objects."""

    SEG = "seg"  # assistant words grounded by masks: <p> words </p> [SEG]
    REGION = "region"  # user words that point at an input box: words <bbox>
    SEG_ONLY = "seg_only"  # a mask without words of its own: [SEG]


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
    """A thing in the image.

    Args:
        id: Unique in its sample.
        box: x1, y1, x2, y2 in pixels of the image.
        mask: None where the data set has only boxes.
        labels: Class names; the canonical one first, the others sorted.
        attributes: Descriptions such as "a red metal cube".
        score: Confidence of the detector, 0 to 1.
        depth: Inverse relative depth; larger is closer.
        source: Who drew the mask: gt, sam, eva, hq_sam or a detector's name.
        is_crowd: The mask covers a group.
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
    """A half-open range of Unicode code points of `Turn.text`, tied to objects.

    Args:
        start: First code point.
        end: One past the last; equals `start` for SEG_ONLY.
        kind: How the objects are shown.
        object_ids: SEG: the union of these masks is one target. REGION: one id a `<bbox>`.
    """

    start: int
    end: int
    kind: SpanKind
    object_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Turn:
    """What one side says.

    Args:
        role: "user" or "assistant".
        text: Plain words. None on a user turn: the renderer takes a question template of the task.
        spans: Sorted and not overlapping.
    """

    role: str
    text: str | None
    spans: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True)
class Target:
    """A thing asked for: an expression, a class or the words for a region.

    Args:
        text: The expression.
        object_ids: The objects meant; empty when there is no such thing in the image.
    """

    text: str
    object_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ImageRef:
    """Where the image is, or the image itself.

    Args:
        key: The file name, unique in its data set.
        size: (height, width) in pixels, in the frame that the annotations use.
        path: A file on disk, or None when `data` holds the bytes.
        data: The encoded image (JPEG or PNG); filled in training shards only.
        license: Under which terms the image may be used.
    """

    key: str
    size: Size
    path: str | None = None
    data: bytes | None = None
    license: str = "unknown"


@dataclass(frozen=True, slots=True)
class Sample:
    """One image and what is known about it for one task.

    Exactly one of `turns` and `targets` is filled: grounded and free conversations have turns; referring and
    semantic segmentation and region captioning have targets, from which the renderer draws.

    Args:
        sample_id: "<data set>/<split>/<stable id>".
        task: What it teaches.
        dataset: Name of the data set.
        split: train, val or test, or the data set's own name.
        image: The image.
        objects: Everything that spans and targets point to.
        turns: The conversation.
        targets: Expressions with their objects.
        meta: Remarks of the reader.
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
