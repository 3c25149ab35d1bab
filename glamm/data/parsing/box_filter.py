"""Annotations with boxes in files of MDETR and GRiT: which of them count, by the release's rules."""

from collections.abc import Iterator
from dataclasses import dataclass

from glamm.data.parsing import json_fields
from glamm.errors import DataError
from glamm.structures.issue import Issue
from glamm.typing import Box, Size

MIN_SIDE = 32
"""Images with a shorter side are left out."""


@dataclass(frozen=True, slots=True)
class Boxed:
    """An annotation whose box counts.

    Args:
        id: Its own.
        box: As the file has it; it may reach outside the image.
        annotation: All fields.
    """

    id: int
    box: Box
    annotation: json_fields.Json


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An annotation that does not count, and why."""

    id: object
    reason: str
    field: str | None = None

    def shown(self) -> dict[str, object]:
        """As JSON."""
        return {"annotation_id": self.id, "reason": self.reason}

    def issue(self, file: str, record: str) -> Issue:
        """As an issue of a record."""
        field = f"annotation {self.id}" + (f".{self.field}" if self.field else "")
        return Issue.of_part(file, record, self.reason, field)


def boxed(annotations: list[json_fields.Json], size: Size) -> Iterator[Boxed | LeftOut]:
    """Judge annotations of one image.

    Args:
        annotations: With a COCO `bbox`.
        size: (height, width) of the image.
    """
    for annotation in annotations:
        try:
            yield _judge(annotation, size)
        except DataError as error:
            yield LeftOut(annotation.get("id"), error.reason, error.field)


def _judge(annotation: json_fields.Json, size: Size) -> Boxed | LeftOut:
    number = json_fields.integer(annotation.get("id"), "id")
    box = json_fields.xywh(annotation.get("bbox"), "bbox")
    area = json_fields.optional_number(annotation, "area")
    x1, y1, x2, y2 = box
    height, width = size
    reasons = {
        "marked ignore": bool(annotation.get("ignore")),
        "area 0": area is not None and area <= 0,
        "box narrower than 1 px": x2 - x1 < 1,
        "box lower than 1 px": y2 - y1 < 1,
        "box outside the picture": min(x2, width) <= max(x1, 0) or min(y2, height) <= max(y1, 0),
    }
    reason = next((reason for reason, holds in reasons.items() if holds), None)
    return LeftOut(number, reason) if reason else Boxed(number, box, annotation)
