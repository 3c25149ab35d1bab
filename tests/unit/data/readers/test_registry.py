import pytest

from glamm.data.readers.registry import (
    READERS,
    READERS_BY_NAME,
    find_readers,
    get_reader,
    no_data_set,
)
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


@pytest.mark.parametrize("name", READERS_BY_NAME)
def test_every_reader_says_what_it_looks_for(tmp_path, name):
    reader = get_reader(name)

    assert not reader.exists_in(tmp_path)
    assert all(reader.looked_for)
    assert f"Looked for {', '.join(reader.looked_for)} ({name})." in str(
        no_data_set(tmp_path, [name])
    )


@pytest.mark.parametrize("name", [path.name for path in FORMATS.iterdir()])
def test_what_a_reader_looks_for_is_there_in_its_layout(name):
    root = FORMATS / name / "root"

    assert any((root / path).exists() for path in get_reader(name).looked_for)


def test_folder_in_which_nothing_is_found_is_listed(tmp_path):
    for file in ("pictures/1.jpg", "pictures/2.jpg", "notes\n.txt", "labels/1.txt", "data.yaml"):
        path = tmp_path / file
        path.parent.mkdir(exist_ok=True)
        path.touch()
    for index in range(5):
        (tmp_path / f"labels/{index}.txt").touch()
        (tmp_path / "z" / str(index)).mkdir(parents=True)

    message = str(no_data_set(tmp_path, ["coco"]))

    assert (
        f"file {tmp_path}: holds no data set in the layout coco. Looked for annotations/" in message
    )
    assert "annotations/instances_<split>.json" in message
    assert "<split>/_annotations.coco.json (Roboflow)" in message
    assert message.endswith(
        "The folder holds: data.yaml, labels/ (0.txt, 1.txt, 2.txt, ...), notes\\n.txt, "
        "pictures/ (1.jpg, 2.jpg), z/ (0, 1, 2, ...)"
    )


def test_forms_of_own_data_are_listed_when_none_was_asked_for(tmp_path):
    for index in range(14):
        (tmp_path / f"{index:02}.txt").touch()

    message = str(no_data_set(tmp_path))

    assert "holds no data set in a known layout. Looked for annotations/" in message
    assert all(f"{get_reader(name).looked_for[-1]} ({name})" in message for name in OWN)
    assert "09.txt and 4 more" in message
    assert str(no_data_set(tmp_path / "nothing")).endswith("The folder holds: nothing")


@pytest.mark.parametrize("name", ["coco", "labelme", "jsonl"])
def test_folder_inside_that_holds_the_data_set_is_named(tmp_path, name):
    OWN[name](tmp_path / "export.v1")

    assert str(no_data_set(tmp_path)).endswith("Its folder export.v1 holds one: name that folder")


@pytest.mark.parametrize("name", OWN)
def test_other_layout_of_a_folder_is_named(tmp_path, name):
    OWN[name](tmp_path)

    assert str(no_data_set(tmp_path, ["grand"])).endswith(f"It holds one in the layout {name}")
