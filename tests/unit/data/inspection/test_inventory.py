import shutil

import pytest

from glamm.data.inspection.inventory import LICENCES, PUBLISHED, Published, compare, examine
from glamm.data.readers.registry import SOURCES
from glamm.errors import DataError
from tests.builders.data import BAD_FORMATS, FORMATS, human_annotated_root


def test_every_layout_is_found_with_its_records():
    for name in sorted(path.name for path in FORMATS.iterdir()):
        report = examine(FORMATS / name / "root")
        records = sum(one.records for one in report.splits if one.source == name)

        assert records > 0, name
        assert name not in report.missing
        assert report.licences[name]
        assert report.checksums


def test_missing_images_are_one_finding_with_an_example(tmp_path):
    human_annotated_root(tmp_path, count=5)
    for number in (1, 3):
        (tmp_path / f"GranDf_HA_images/train/sa_{number}.jpg").unlink()

    found = next(one for one in examine(tmp_path).splits if one.split == "train")

    assert (found.records, found.images) == (3, 3)
    assert list(found.rejections.values()) == [2]
    assert "sa_1.jpg" in next(iter(found.examples.values()))


def test_counts_are_held_against_the_published_ones(tmp_path):
    human_annotated_root(tmp_path, count=5)

    found = next(one for one in examine(tmp_path).splits if one.split == "train")

    assert found.published is not None
    assert (found.published["found"], found.published["agrees"]) == (5, False)
    assert Published(1000, is_rounded=True).agrees(960)
    assert not Published(1000, is_rounded=True).agrees(900)
    assert not Published(750).agrees(749)


def test_broken_file_is_named_and_the_rest_is_told(tmp_path):
    shutil.copytree(BAD_FORMATS / "truncated_json/root", tmp_path, dirs_exist_ok=True)
    shutil.copytree(FORMATS / "granddf_val_test/root", tmp_path, dirs_exist_ok=True)

    report = examine(tmp_path)

    assert any("GranDf_HA_GCG_train.json" in line for one in report.splits for line in one.broken)
    assert sum(one.records for one in report.splits if one.source == "granddf_val_test") == 5


def test_other_content_is_named(tmp_path):
    path = human_annotated_root(tmp_path)
    before = examine(tmp_path).checksums
    path.write_text(path.read_text().replace("cube", "ball"))

    name = path.relative_to(tmp_path).as_posix()
    assert compare(examine(tmp_path).checksums, before) == [f"{name}: has another content"]
    assert compare({}, {"a": "1"}) == ["a: is not there"]
    assert compare({"a": "1"}, {}) == ["a: is new"]


def test_tables_name_data_sets_that_exist():
    assert set(LICENCES) <= set(SOURCES)
    assert all(split in SOURCES[name].splits for name, split in PUBLISHED)


def test_empty_folder_is_said(tmp_path):
    with pytest.raises(DataError, match="holds no data set"):
        examine(tmp_path)
    with pytest.raises(DataError, match="is no folder"):
        examine(tmp_path / "none")
