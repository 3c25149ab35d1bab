"""The annotations with boxes that count, by the rules of the release for files of MDETR and GRiT."""

from collections.abc import Iterator
from dataclasses import dataclass

from glamm.data.parsing.json_fields import Json
from glamm.data.parsing.layout import CocoBox, Flag, Integer, Layout, Number, field_path, parse
from glamm.errors import DataError
from glamm.typing import Box, Size

MIN_SIDE = 32
"""Images with a shorter side, in pixels, are left out."""


class BoxLayout(Layout):
    """An entry of `annotations` with a box."""

    id: Integer
    bbox: CocoBox
    area: Number | None = None
    ignore: Flag = False


@dataclass(frozen=True, slots=True)
class BoxedAnnotation:
    """An annotation that counts.

    Args:
        id: Unique in its file.
        box: x1, y1, x2, y2 in pixels as the file has it; it may reach outside the image.
        annotation: All its fields.
    """

    id: int
    box: Box
    annotation: Json


@dataclass(frozen=True, slots=True)
class DroppedAnnotation:
    """An annotation that does not count.

    Args:
        id: As the file has it.
        reason: Why not.
        field: Which field of it is invalid; None where a rule leaves the annotation out.
    """

    id: object
    reason: str
    field: str | None = None

    @property
    def location_field(self) -> str:
        """The field of the record to which the reason belongs."""
        return field_path(f"annotation {self.id}", self.field)


def filter_boxes(
    annotations: list[Json], size: Size
) -> Iterator[BoxedAnnotation | DroppedAnnotation]:
    """Apply the rules to the annotations of one image.

    Args:
        annotations: In file order.
        size: (height, width) of the image.
    """
    for annotation in annotations:
        try:
            layout = parse(BoxLayout, annotation)
        except DataError as error:
            yield DroppedAnnotation(annotation.get("id"), error.reason, error.field)
            continue
        reason = _reason_to_drop(layout, size)
        if reason:
            yield DroppedAnnotation(layout.id, reason)
        else:
            yield BoxedAnnotation(layout.id, layout.bbox, annotation)


def _reason_to_drop(layout: BoxLayout, size: Size) -> str | None:
    x1, y1, x2, y2 = layout.bbox
    height, width = size
    rules = {
        "marked ignore": layout.ignore,
        "area 0": layout.area is not None and layout.area <= 0,
        "box narrower than 1 px": x2 - x1 < 1,
        "box lower than 1 px": y2 - y1 < 1,
        "box outside the picture": min(x2, width) <= max(x1, 0) or min(y2, height) <= max(y1, 0),
    }
    return next((reason for reason, applies in rules.items() if applies), None)
