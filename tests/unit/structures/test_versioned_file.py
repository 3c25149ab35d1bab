import json
from pathlib import Path
from typing import Annotated, ClassVar

import pytest
from pydantic import Field

from glamm.errors import DataError
from glamm.structures.versioned_file import FileSection, VersionedFile


class _Part(FileSection):
    value: Annotated[float, Field(alias="VALUE")]


class _File(VersionedFile):
    remedy: ClassVar[str] = "make it again"

    part: _Part


def _write(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content))
    return path


def test_saved_file_is_loaded_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file.json"
    saved = _File(part=_Part(value=0.1))

    saved.save(path)

    assert _File.load(path) == saved
    assert json.loads(path.read_text()) == {"schema_version": 1, "part": {"VALUE": 0.1}}
    assert [entry.name for entry in path.parent.iterdir()] == ["file.json"]


def test_file_without_a_version_has_the_first_one(tmp_path: Path) -> None:
    path = _write(tmp_path / "file.json", {"part": {"VALUE": 1.5}})

    assert _File.load(path).schema_version == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], r"file\.json: must be a JSON object"),
        ({}, r"file\.json, field part: .*: make it again"),
        ({"part": {"VALUE": "x"}}, r"file\.json, field part\.VALUE: .*: make it again"),
        ({"part": {"VALUE": 1}, "extra": 1}, r"file\.json, field extra: .*: make it again"),
        (
            {"schema_version": 2, "part": {"VALUE": 1}},
            r"field schema_version: is 2, and this glamm reads 1: make it again",
        ),
    ],
    ids=["no_object", "missing_key", "wrong_type", "unknown_key", "other_version"],
)
def test_file_of_another_form_is_refused(tmp_path: Path, content: object, message: str) -> None:
    path = _write(tmp_path / "file.json", content)

    with pytest.raises(DataError, match=message):
        _File.load(path)


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"file\.json: cannot be read"):
        _File.load(tmp_path / "file.json")


@pytest.mark.parametrize("value", [float("nan"), float("inf")], ids=["nan", "inf"])
def test_number_that_json_cannot_hold_is_refused(tmp_path: Path, value: float) -> None:
    with pytest.raises(DataError, match="holds a number that is not finite"):
        _File(part=_Part(value=value)).save(tmp_path / "file.json")

    assert list(tmp_path.iterdir()) == []
