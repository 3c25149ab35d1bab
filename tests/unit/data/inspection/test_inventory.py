import shutil

import pytest

from glamm.data.inspection.inventory import (
    LICENSES,
    PUBLISHED,
    Inventory,
    Published,
    compare_checksums,
    load_checksums,
    take_inventory,
)
from glamm.data.readers.registry import READERS_BY_NAME
from glamm.errors import DataError
from tests.builders.data import BAD_FORMATS, FORMATS, human_annotated_root


def test_every_layout_is_found_with_its_records():
    for name in sorted(path.name for path in FORMATS.iterdir()):
        inventory = take_inventory(FORMATS / name / "root")
        records = sum(split.records for split in inventory.splits if split.dataset == name)

        assert records > 0, name
        assert name not in inventory.missing
        assert inventory.licenses[name]
        assert inventory.checksums


def test_missing_images_are_one_reason_with_an_example(tmp_path):
    human_annotated_root(tmp_path, count=5)
    for number in (1, 3):
        (tmp_path / f"GranDf_HA_images/train/sa_{number}.jpg").unlink()

    found = next(split for split in take_inventory(tmp_path).splits if split.split == "train")

    assert (found.records, found.images) == (3, 3)
    assert list(found.left_out.values()) == [2]
    assert "sa_1.jpg" in next(iter(found.examples.values()))


def test_counts_are_compared_with_the_published_ones(tmp_path):
    human_annotated_root(tmp_path, count=5)

    found = next(split for split in take_inventory(tmp_path).splits if split.split == "train")

    assert found.published is not None
    assert (found.published.count, found.published.agrees) == (5, False)
    assert Published(1000, is_rounded=True).agrees(960)
    assert not Published(1000, is_rounded=True).agrees(900)
    assert not Published(750).agrees(749)


def test_broken_file_is_named_and_the_rest_is_counted(tmp_path):
    shutil.copytree(BAD_FORMATS / "truncated_json/root", tmp_path, dirs_exist_ok=True)
    shutil.copytree(FORMATS / "granddf_val_test/root", tmp_path, dirs_exist_ok=True)

    inventory = take_inventory(tmp_path)

    assert any(
        "GranDf_HA_GCG_train.json" in line
        for split in inventory.splits
        for line in split.broken_files
    )
    assert (
        sum(split.records for split in inventory.splits if split.dataset == "granddf_val_test") == 5
    )


def test_changed_files_are_named(tmp_path):
    path = human_annotated_root(tmp_path)
    before = take_inventory(tmp_path).checksums
    path.write_text(path.read_text().replace("cube", "ball"))

    name = path.relative_to(tmp_path).as_posix()
    assert compare_checksums(take_inventory(tmp_path).checksums, before) == [f"{name}: has changed"]
    assert compare_checksums({}, {"a": "1"}) == ["a: is missing"]
    assert compare_checksums({"a": "1"}, {}) == ["a: is new"]


def test_tables_name_data_sets_that_exist():
    assert set(LICENSES) <= set(READERS_BY_NAME)
    assert all(split in READERS_BY_NAME[name].splits for name, split in PUBLISHED)


def test_folder_without_data_sets_is_refused(tmp_path):
    with pytest.raises(DataError, match="holds no data set"):
        take_inventory(tmp_path)
    with pytest.raises(DataError, match="is no folder"):
        take_inventory(tmp_path / "none")


def test_saved_inventory_is_loaded_as_it_was(tmp_path):
    human_annotated_root(tmp_path / "root")
    inventory = take_inventory(tmp_path / "root")

    inventory.save(tmp_path / "inventory.json")

    assert Inventory.load(tmp_path / "inventory.json") == inventory
    assert load_checksums(tmp_path / "inventory.json") == inventory.checksums


def test_checksums_of_a_former_version_are_read(tmp_path):
    (tmp_path / "former.json").write_text('{"splits": [{"pictures": 1}], "checksums": {"a": "1"}}')

    assert load_checksums(tmp_path / "former.json") == {"a": "1"}


@pytest.mark.parametrize("content", ["{}", '{"checksums": [1]}'], ids=["missing", "list"])
def test_file_without_checksums_is_refused(tmp_path, content):
    (tmp_path / "other.json").write_text(content)

    with pytest.raises(DataError, match=r"field checksums: is no file of glamm data doctor"):
        load_checksums(tmp_path / "other.json")
