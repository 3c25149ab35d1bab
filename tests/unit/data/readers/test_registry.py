import pytest

from glamm.data.readers.registry import READERS, READERS_BY_NAME, find_readers, get_reader
from glamm.errors import DataError, RequestError
from tests.builders.data import FORMATS
from tests.builders.own_data import OWN, read_records


def test_every_data_set_has_one_reader():
    assert len(READERS_BY_NAME) == len(READERS)
    assert set(READERS_BY_NAME) == {path.name for path in FORMATS.iterdir()} | set(OWN)


def test_unknown_name_is_an_error_that_lists_all_names():
    with pytest.raises(
        RequestError, match=r"no data set is called 'dogs'; there are: ade20k, coco,"
    ):
        get_reader("dogs")


@pytest.mark.parametrize("name", OWN)
def test_layout_of_own_data_is_recognized(tmp_path, name):
    assert [reader.name for reader in find_readers(OWN[name](tmp_path))] == [name]


def linked_root(tmp_path, name):
    """A folder whose subfolders are links to a data set outside it."""
    outside = OWN[name](tmp_path / "outside")
    root = tmp_path / "root"
    root.mkdir()
    (root / "annotations").symlink_to(outside / "annotations" if name == "coco" else outside)
    (root / "images").symlink_to(outside)
    return root


@pytest.mark.parametrize("name", ["labelme", "cvat", "jsonl"])
def test_data_set_outside_the_root_does_not_exist_in_it(tmp_path, name):
    assert not get_reader(name).exists_in(linked_root(tmp_path, name))


def test_annotation_file_outside_the_root_is_an_error(tmp_path):
    with pytest.raises(DataError, match="points outside"):
        read_records("coco", linked_root(tmp_path, "coco"))
