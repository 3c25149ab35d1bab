import pytest

from glamm.errors import DataError
from glamm.structures.lineage import LINEAGE_FILE, Lineage
from glamm.training.initialization import EMBEDDED_FOLDER


def test_unknown_values_are_not_in_the_file(tmp_path):
    lineage = Lineage(converted_from={"model.bin": "ab"})

    lineage.save(tmp_path / LINEAGE_FILE)

    assert Lineage.load(tmp_path / LINEAGE_FILE) == lineage
    assert lineage.as_json() == {"schema_version": 1, "converted_from": {"model.bin": "ab"}}


def test_file_of_the_embedded_start_which_has_no_schema_version_is_read():
    lineage = Lineage.load(EMBEDDED_FOLDER / LINEAGE_FILE)

    assert lineage.parameters["max_steps"] == 6000


def test_unknown_key_is_named(tmp_path):
    (tmp_path / LINEAGE_FILE).write_text('{"shards": {}}')

    with pytest.raises(DataError, match=r"lineage\.json, field shards: Extra inputs"):
        Lineage.load(tmp_path / LINEAGE_FILE)
