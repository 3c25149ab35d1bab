import unicodedata

import pytest

from glamm.data.parsing.dataset_paths import (
    ensure_inside,
    files_of_split,
    find_file,
    find_folder,
    relative,
    resolve_image,
)
from glamm.errors import DataError


@pytest.fixture
def root(tmp_path):
    """A data set's folder with two images, and a file outside it."""
    (tmp_path / "secret.jpg").touch()
    for name in ("set/a/1.jpg", "set/b/1.jpg", "set/b/2.jpg"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "set"


def test_first_existing_path_is_found(root):
    assert find_file(root, ["c/1.jpg", "b/1.jpg", "a/1.jpg"]) == root / "b/1.jpg"
    assert find_folder(root, ["c", "a/1.jpg", "b"]) == root / "b"
    assert find_file(root, ["a", "c"]) is find_folder(root, ["c"]) is None


@pytest.mark.parametrize(("named", "written"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_unicode_form_of_a_name_does_not_matter(root, named, written):
    named, written = (
        unicodedata.normalize(form, "stra\u00df\u00e9/b\u00e4r.jpg") for form in (named, written)
    )
    (root / written).parent.mkdir()
    (root / written).touch()

    assert find_file(root, [named]) == root / written


def test_paths_are_named_relative_to_the_root(root):
    assert relative(root, root / "a/1.jpg") == "a/1.jpg"


def test_image_is_searched_in_the_order_of_the_folders(root):
    assert resolve_image(root, ["a", "b"], "1.jpg") == root / "a/1.jpg"
    assert resolve_image(root, ["a", "b"], "2.jpg") == root / "b/2.jpg"


def test_image_is_found_by_a_path_of_windows(root):
    assert resolve_image(root, ["."], "b\\2.jpg") == root / "b/2.jpg"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("3.jpg", r"field file_name: there is no image '3\.jpg' in a or b"),
        ("", r"field file_name: '' is no file name inside"),
        ("../../secret.jpg", "is no file name inside"),
        ("..\\..\\secret.jpg", "is no file name inside"),
        ("/etc/passwd", "is no file name inside"),
        ("1.jpg\0", "is no file name inside"),
        ("x" * 5000, "is no file name: File name too long"),
        ("link.jpg", r"'link\.jpg' is a link that leaves"),
    ],
    ids=["missing", "empty", "parent", "windows parent", "absolute", "null byte", "long", "link"],
)
def test_image_name_that_leads_nowhere_or_outside_is_an_error(root, name, message):
    (root / "a/link.jpg").symlink_to(root.parent / "secret.jpg")

    with pytest.raises(DataError, match=message):
        resolve_image(root, ["a", "b"], name)


def test_path_that_leads_outside_is_an_error(root):
    (root / "link").symlink_to(root.parent)

    assert ensure_inside(root, root / "a") == root / "a"
    with pytest.raises(DataError, match=r"link: points outside the data set's folder"):
        ensure_inside(root, root / "link")
    with pytest.raises(DataError, match="points outside"):
        files_of_split(root, ["."], "*.jpg", "link")


def test_files_above_the_folders_of_splits_belong_to_train(root):
    (root / "b/val").mkdir()
    (root / "b/val/3.jpg").touch()
    (root / "b/train").mkdir()
    (root / "b/train/0.jpg").touch()

    train = files_of_split(root, ["a", "b"], "*.jpg", "train")

    assert [relative(root, path) for path in train] == [
        "a/1.jpg",
        "b/train/0.jpg",
        "b/1.jpg",
        "b/2.jpg",
    ]
    assert files_of_split(root, ["a", "b"], "*.jpg", "val") == (root / "b/val/3.jpg",)
