import unicodedata

import pytest

from glamm.data.parsing.image_search import ImageSearch
from glamm.errors import DataError


@pytest.fixture
def root(tmp_path):
    for name in ("a/x.jpg", "b/x.jpg", "b/caf\u00e9 1.jpg", "val/y.jpg"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    return tmp_path


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("/home/b/x.jpg", "b/x.jpg"),
        (r"D:\A\X.JPG", "a/x.jpg"),
        (unicodedata.normalize("NFD", "caf\u00e9 1.jpg"), "b/caf\u00e9 1.jpg"),
        ("https://host.example/caf%C3%A9%201.jpg", "b/caf\u00e9 1.jpg"),
        ("12345678-y.jpg", "val/y.jpg"),
    ],
    ids=["folder", "capitals", "unicode form", "url", "upload"],
)
def test_image_is_found_by_the_end_of_its_path(root, name, file):
    assert ImageSearch(root, [name]).find(name) == root / file


@pytest.mark.parametrize("name", ["z.jpg", "", "..", "x.jp"])
def test_nothing_is_found_for_another_name(root, name):
    assert ImageSearch(root, [name]).find(name) is None


def test_skipped_folders_are_not_searched(root):
    assert ImageSearch(root, ["y.jpg"], skipped=["val"]).find("y.jpg") is None


def test_images_that_fit_alike_are_listed(root):
    with pytest.raises(DataError, match=r"'/x\.jpg' may be any of 2 images: a/x\.jpg, b/x\.jpg"):
        ImageSearch(root, ["/x.jpg"]).find("/x.jpg")


def test_image_that_fits_several_names_is_not_guessed(root):
    search = ImageSearch(root, ["/one/y.jpg", "/two/y.jpg", "/three/val/y.jpg"])

    assert search.find("/three/val/y.jpg") == root / "val/y.jpg"
    with pytest.raises(DataError, match=r"'/one/y\.jpg' may be val/y\.jpg, but so may others"):
        search.find("/one/y.jpg")
