"""A data set's folder contains nothing else, and its files are reproducible."""

import pickle  # noqa: TID251 - written by the test itself
from pathlib import Path

import pytest

from glamm.errors import DataError
from glamm.synthetic.files import claim_output_dir, write_pickle


def test_folder_of_the_same_parameters_is_accepted_and_cleaned_of_unfinished_files(
    tmp_path: Path,
) -> None:
    claim_output_dir(tmp_path, stamp={"seed": 1}, expected=["images/a.jpg"])
    (tmp_path / "images").mkdir()
    (tmp_path / "images/a.jpg").write_bytes(b"whole")
    (tmp_path / "images/.a.jpg.part").write_bytes(b"ha")

    claim_output_dir(tmp_path, stamp={"seed": 1}, expected=["images/a.jpg"])

    assert [path.name for path in (tmp_path / "images").iterdir()] == ["a.jpg"]


@pytest.mark.parametrize("name", ["b.jpg", ".b.jpg.part"], ids=["finished-file", "unfinished-file"])
def test_file_of_somebody_else_is_refused_and_kept(tmp_path: Path, name: str) -> None:
    claim_output_dir(tmp_path, stamp={"seed": 1}, expected=["a.jpg"])
    (tmp_path / name).write_bytes(b"mine")

    with pytest.raises(DataError, match=r"b\.jpg.*: is not part of the data set"):
        claim_output_dir(tmp_path, stamp={"seed": 1}, expected=["a.jpg"])

    assert (tmp_path / name).read_bytes() == b"mine"


def test_folder_of_other_parameters_is_refused_with_their_names(tmp_path: Path) -> None:
    claim_output_dir(tmp_path, stamp={"seed": 1, "side": 64}, expected=[])

    with pytest.raises(DataError, match=r"different parameters \(side\)"):
        claim_output_dir(tmp_path, stamp={"seed": 1, "side": 96}, expected=[])


def test_equal_values_give_equal_pickles(tmp_path: Path) -> None:
    shared = ["a", "b"]

    write_pickle(tmp_path / "shared.p", [shared, shared])
    write_pickle(tmp_path / "separate.p", [["a", "b"], ["a", "b"]])

    assert (tmp_path / "shared.p").read_bytes() == (tmp_path / "separate.p").read_bytes()
    assert pickle.loads((tmp_path / "shared.p").read_bytes()) == [shared, shared]  # noqa: S301 - our own
