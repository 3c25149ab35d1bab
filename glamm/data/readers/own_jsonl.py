"""This project's own form: one sample per line, in `train.jsonl`, `val.jsonl` and `test.jsonl`.

docs/how-to/own-data.md has an example of every task.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from glamm.data.parsing.coco_segmentation import parse_segmentation
from glamm.data.parsing.dataset_paths import ensure_inside, relative
from glamm.data.parsing.image_refs import SizedImage, find_image
from glamm.data.parsing.json_stream import parse_json
from glamm.data.parsing.layout import Choice, CornerBox, Flag, Integer, Items, Layout, Text, parse
from glamm.data.record import Record, read_record
from glamm.errors import DataError
from glamm.geometry import masks
from glamm.structures.issue import Issue, IssueLog, Location
from glamm.structures.sample import Frame, ImageRef, Obj, Sample, Span, SpanKind, Target, Task, Turn

_IMAGE_FOLDERS = (".", "images")


class JsonlImage(SizedImage):
    """The image of a sample."""

    file: Text
    frame: Choice[Frame] = Frame.BY_SIZE


class JsonlObject(Layout):
    """An object. It has a box, a COCO segmentation with pixels, or both."""

    id: Integer
    bbox: CornerBox | None = None
    segmentation: object = None
    labels: Items[Text] = ()
    attributes: Items[Text] = ()
    is_crowd: Flag = False


class JsonlSpan(Layout):
    """A range of a turn's text, in code points; the end is exclusive."""

    start: Integer
    end: Integer
    kind: Choice[SpanKind] = SpanKind.SEG
    object_ids: Items[Integer] = ()


class JsonlTurn(Layout):
    """What the user or the assistant says."""

    role: Text
    text: Text | None = None
    spans: Items[JsonlSpan] = ()


class JsonlTarget(Layout):
    """An expression with the objects that it means."""

    text: Text
    object_ids: Items[Integer] = ()


class JsonlSample(Layout):
    """A line of a file."""

    sample_id: Text | None = None
    task: Choice[Task]
    image: JsonlImage
    objects: Items[JsonlObject] = ()
    turns: Items[JsonlTurn] = ()
    targets: Items[JsonlTarget] = ()


class JsonlReader:
    """Reads this project's own form. A line may say in which frame it is drawn."""

    name = "jsonl"
    splits = ("train", "val", "test")
    frame = Frame.BY_SIZE
    looked_for = ("train.jsonl", "val.jsonl", "test.jsonl")

    def exists_in(self, root: Path) -> bool:
        """Whether there is a file of a split in a folder."""
        return any((root / f"{split}.jsonl").is_file() for split in self.splits)

    def read(self, root: Path, split: str) -> Iterator[Record | Issue]:
        """Yield one record per line, while the file is being read."""
        path = root / f"{split}.jsonl"
        if not path.is_file():
            return
        file = relative(root, ensure_inside(root, path))
        try:
            with path.open("rb") as lines:
                for number, line in enumerate(lines, start=1):
                    if line.strip():
                        read = partial(self._read_line, root, split, path, line, number)
                        yield from read_record(Location(file, f"line {number}"), read)
        except OSError as error:
            raise DataError(f"cannot be read ({error.strerror})", file=path) from error

    def _read_line(
        self, root: Path, split: str, path: Path, line: bytes, number: int, issues: IssueLog
    ) -> Record:
        layout = parse(JsonlSample, parse_json(line, path))
        if not layout.turns and not layout.targets:
            raise DataError("has neither turns nor targets", field="turns, targets")
        image = layout.image
        image_ref = find_image(root, _IMAGE_FOLDERS, image.file, size=image.size, frame=image.frame)
        sample_id = str(number) if layout.sample_id is None else layout.sample_id
        sample = Sample(
            sample_id=f"{self.name}/{split}/{sample_id}",
            task=layout.task,
            dataset=self.name,
            split=split,
            image=image_ref,
            objects=tuple(
                _object(obj, f"objects[{index}]", image_ref, issues)
                for index, obj in enumerate(layout.objects)
            ),
            turns=tuple(_turn(turn) for turn in layout.turns),
            targets=tuple(Target(target.text, target.object_ids) for target in layout.targets),
        )
        return Record(issues.location, (sample,))


def _object(layout: JsonlObject, field: str, image_ref: ImageRef, issues: IssueLog) -> Obj:
    mask = None
    if layout.segmentation is not None:
        segmentation_field = f"{field}.segmentation"
        mask = parse_segmentation(
            layout.segmentation,
            segmentation_field,
            size=image_ref.size,
            report=lambda reason: issues.add(reason, segmentation_field),
        ).mask
    box = layout.bbox or (masks.box_of(mask) if mask else None)
    if box is None:
        raise DataError("needs a bbox, or a segmentation with pixels", field=field)
    return Obj(
        id=layout.id,
        box=box,
        mask=mask,
        labels=layout.labels,
        attributes=layout.attributes,
        is_crowd=layout.is_crowd,
    )


def _turn(layout: JsonlTurn) -> Turn:
    spans = [Span(span.start, span.end, span.kind, span.object_ids) for span in layout.spans]
    spans.sort(key=lambda span: (span.start, span.end))
    return Turn(layout.role, layout.text, tuple(spans))
