import json
from dataclasses import dataclass

from glamm.data.readers.coco_reader import CocoReader
from glamm.data.record import Record
from glamm.errors import DataError
from glamm.structures.issue import IssueKind, Location, Severity
from tests.builders.data import grounded


@dataclass(frozen=True, slots=True)
class OneBadImageReader(CocoReader):
    """Image 1 has an issue and cannot be read; the others are read."""

    def _read_image(self, root, split, content, image_id, issues):
        if image_id == 1:
            issues.add("is odd", "caption")
            raise DataError("is unusable", field="size")
        return Record(Location(content.file, issues.record), (grounded(),))


def reader(root, *images):
    (root / "val.json").write_text(
        json.dumps({"images": list(images), "annotations": [], "categories": []})
    )
    return OneBadImageReader(
        "some", files={"train": ("train.json",), "val": ("val.json",)}, images=()
    )


def test_image_that_cannot_be_read_is_an_issue_and_the_others_are_read(tmp_path):
    images = [{"id": 1, "file_name": "1.jpg"}, {"id": "two", "file_name": "2.jpg"}]

    part, whole, record = reader(tmp_path, *images).read(tmp_path, "val")

    assert part.location == Location("val.json", "image 1", "caption")
    assert whole.location == Location("val.json", "image 1", "size")
    assert (part.severity, whole.severity) == (Severity.PART, Severity.RECORD)
    assert whole.kind is IssueKind.INVALID_RECORD
    assert record.location == Location("val.json", "image two")


def test_issues_of_the_file_come_first(tmp_path):
    issue, record = reader(tmp_path, {"file_name": "1.jpg"}, {"id": 2}).read(tmp_path, "val")

    assert issue.location.record == "images[0]"
    assert record.location.record == "image 2"


def test_split_without_a_file_has_no_records(tmp_path):
    some = reader(tmp_path)

    assert some.splits == ("train", "val")
    assert some.exists_in(tmp_path)
    assert not some.exists_in(tmp_path / "elsewhere")
    assert list(some.read(tmp_path, "train")) == list(some.read(tmp_path, "test")) == []
