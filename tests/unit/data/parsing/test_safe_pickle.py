import os
import pickle  # noqa: TID251 - writes pickles that the reader must refuse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glamm.data.parsing.safe_pickle import read_plain_pickle
from glamm.errors import DataError

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(), inner, max_size=3)
        | st.tuples(inner, inner)
    ),
    max_leaves=8,
)


@given(value=PLAIN, protocol=st.integers(0, 5))
def test_plain_values_come_back(tmp_path_factory, value, protocol):
    path = tmp_path_factory.mktemp("pickle") / "refs.p"
    path.write_bytes(pickle.dumps(value, protocol))

    assert read_plain_pickle(path) == value


class Harmful:
    def __reduce__(self):
        return os.system, ("touch executed",)


class Built:
    def __init__(self):
        self.value = 1


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    ("value", "named"),
    [(Harmful(), "posix.system"), (Built(), "Built|copy_?reg"), (print, "print")],
    ids=["call", "instance", "builtin"],
)
def test_anything_but_plain_values_is_refused_and_never_executed(
    tmp_path, monkeypatch, protocol, value, named
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "refs.p").write_bytes(pickle.dumps([1, value], protocol))

    with pytest.raises(DataError, match=rf"refs.p: refers to .*({named})"):
        read_plain_pickle(tmp_path / "refs.p")

    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x80\x02",
        b"\x80\x02]r\xff\xff\xff\x7f",  # a memo index of 2**31
        b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7f",  # a text of 2**63 bytes
        b"(lp0\nI1\naPperson\n.",
        b"\x82\x01.",
        b"not a pickle",
    ],
    ids=["empty", "no content", "large index", "large string", "no opcode", "extension", "text"],
)
def test_damaged_pickle_is_an_error(tmp_path, content):
    (tmp_path / "refs.p").write_bytes(content)

    with pytest.raises(DataError, match=r"refs.p: "):
        read_plain_pickle(tmp_path / "refs.p")


@given(data=st.binary(max_size=60))
def test_arbitrary_bytes_are_at_most_an_error(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("pickle") / "refs.p"
    path.write_bytes(data)

    try:
        read_plain_pickle(path)
    except DataError:
        return


def test_strings_of_python_2_are_read(tmp_path):
    (tmp_path / "refs.p").write_bytes(b"(dp0\nS'sent'\np1\nS'caf\\xc3\\xa9'\np2\ns.")

    assert read_plain_pickle(tmp_path / "refs.p") == {"sent": "café"}
