import json

import pytest

from glamm.errors import DataError
from glamm.structures.manifest import DatasetCounts, PrepareManifest
from tests.builders.data import prepare_manifest


def test_checksums_are_those_of_the_files():
    checksums = {"train/index.json": "ab", "quarantine.jsonl": "cd"}

    assert prepare_manifest(checksums).checksums == checksums


def test_saved_manifest_is_loaded_as_it_was(tmp_path):
    manifest = prepare_manifest({"train/index.json": "ab"})

    manifest.save(tmp_path / "manifest.json")

    assert PrepareManifest.load(tmp_path / "manifest.json") == manifest
    content = json.loads((tmp_path / "manifest.json").read_text())
    assert content["schema_version"] == 2
    assert content["files"] == {"train/index.json": {"bytes": 1, "sha256": "ab"}}


def test_manifest_of_the_former_version_is_refused(tmp_path):
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps({"schema": 1, "sources": ["grand"], "files": {}}))

    with pytest.raises(DataError, match=r"is 1, and this glamm reads 2: run glamm data prepare"):
        PrepareManifest.load(path)


def test_counts_are_added_by_task():
    first = DatasetCounts(images=1, objects=3, samples={"vqa": 1, "gcg": 2})
    second = DatasetCounts(images=2, objects=4, samples={"gcg": 5})

    total = first + second

    assert total == DatasetCounts(images=3, objects=7, samples={"gcg": 7, "vqa": 1})
    assert list(total.samples) == ["gcg", "vqa"]
